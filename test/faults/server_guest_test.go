//go:build guest

package faults_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// export is what every server exports.
const export = "/exports/data"

// server is one NFS server of the kernel's, in a network namespace of its own, with addresses of its own. It is driven
// through a shell that runs inside.
type server struct {
	t       *testing.T
	name    string
	address string // 10.9.N.2
	stdin   io.WriteCloser
	stdout  *bufio.Reader
}

// inside sets the server up. Its recovery state is kept by nfsdcld, so that clients can reclaim after a restart.
const inside = `
exec 2>&1
ip link set lo up && ip addr add ADDRESS/24 dev eth && ip link set eth up
echo NAME >/proc/sys/kernel/hostname
mount -t tmpfs run /run && mkdir -p /run/rpcbind /run/lock /run/sysconfig
mount -t tmpfs state /var/lib/nfs && cd /var/lib/nfs && mkdir rpc_pipefs sm sm.bak nfsdcld && : >etab && : >rmtab && cd /
mount -t rpc_pipefs pipes /var/lib/nfs/rpc_pipefs && mount -t nfsd nfsd /proc/fs/nfsd
: >/etc/exports && mkdir -p EXPORT && mount -t tmpfs -o size=32m data EXPORT
rpcbind && rpc.mountd --port 20048 && nfsdcld
exportfs -o RIGHTS '*:EXPORT'
echo 10 >/proc/fs/nfsd/nfsv4leasetime
echo 10 >/proc/fs/nfsd/nfsv4gracetime
`

// rights are how every server exports.
const rights = "rw,no_root_squash,insecure,no_subtree_check,fsid=1"

// servers is how many there are: each has its number.
var servers int

// newServer starts a server, past its grace period.
func newServer(t *testing.T) *server {
	t.Helper()
	servers++
	s := &server{t: t, name: fmt.Sprintf("s%d", servers), address: fmt.Sprintf("10.9.%d.2", servers)}
	outside := strings.NewReplacer("NAME", s.name, "NUMBER", fmt.Sprint(servers)).Replace(`
ip netns add NAME && ip link add NAME type veth peer name eth netns NAME
ip addr add 10.9.NUMBER.1/24 dev NAME && ip link set NAME up
exec ip netns exec NAME unshare --mount --uts --propagation private sh`)
	cmd := exec.Command("sh", "-c", outside)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.stdin, s.stdout = stdin, bufio.NewReader(stdout)
	t.Cleanup(func() {
		s.stdin.Close()
		_ = cmd.Wait()
		command(t, "ip", "link", "del", s.name) // the node's end goes with it
	})
	s.do(strings.NewReplacer("NAME", s.name, "ADDRESS", s.address, "EXPORT", export, "RIGHTS", rights).Replace(inside))
	s.start()
	s.do("echo Y >/proc/fs/nfsd/v4_end_grace || true") // an error where no client is known, and so no grace
	return s
}

// do runs a script on the server, whose last command must succeed.
func (s *server) do(script string) { s.t.Helper(); s.ask(script) }

// ask is do, and answers what the script says.
func (s *server) ask(script string) string {
	s.t.Helper()
	fmt.Fprintf(s.stdin, "%s\necho \"done $?\"\n", script)
	var said strings.Builder
	for {
		line, err := s.stdout.ReadString('\n')
		switch {
		case line == "done 0\n":
			return strings.TrimSpace(said.String())
		case strings.HasPrefix(line, "done "), err != nil:
			s.t.Fatalf("on server %s, %q: %s%s%v", s.name, script, said.String(), line, err)
		}
		said.WriteString(line)
	}
}

// start starts the NFS service, which begins with 10 s of grace unless no client is known.
func (s *server) start() { s.t.Helper(); s.do("echo 8 >/proc/fs/nfsd/threads") }

// stop stops it: connections are closed, new ones refused.
func (s *server) stop() { s.t.Helper(); s.do("echo 0 >/proc/fs/nfsd/threads") }

// lose loses all packets in both directions, silently.
func (s *server) lose() {
	s.t.Helper()
	command(s.t, "tc", "qdisc", "replace", "dev", s.name, "root", "netem", "loss", "100%")
	s.do("tc qdisc replace dev eth root netem loss 100%")
}

// slow makes every answer late.
func (s *server) slow(by time.Duration) {
	s.t.Helper()
	s.do(fmt.Sprintf("tc qdisc replace dev eth root netem delay %dms", by.Milliseconds()))
}

// heal ends lose and slow.
func (s *server) heal() {
	s.t.Helper()
	_ = exec.Command("tc", "qdisc", "del", "dev", s.name, "root").Run() // there may be none
	s.do("tc qdisc del dev eth root; true")
}

// unplug takes the server's network away, as a power cut does; plug gives it back.
func (s *server) unplug() { s.t.Helper(); s.do("ip link set eth down") }

func (s *server) plug() { s.t.Helper(); s.do("ip link set eth up") }

// dir makes a directory on the export, for a volume.
func (s *server) dir(name string) string {
	s.t.Helper()
	s.do("mkdir -p " + export + "/" + name)
	return name
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
