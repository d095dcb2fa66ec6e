//go:build linux

// Package nfsserver starts real NFS servers for tests: nfs-ganesha, which Debian packages, in a namespace of its own, and
// willscott/go-nfs in this process.
package nfsserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"text/template"
	"time"
)

// The uid and gid that own the export that squashes root.
const (
	SquashUID = 1000
	SquashGID = 1000
)

const startTimeout = 30 * time.Second

// Ganesha is a running nfs-ganesha. Every export has the same path for versions 3 and 4: its directory on this machine.
type Ganesha struct {
	Host     string // to be used with Dial
	Export   string // no_root_squash, empty when started
	Squashed string // root_squash, owned by SquashUID
	Nameless string // all_squash: everybody is SquashUID, who owns it
	ReadOnly string // read-only, no_root_squash
	Refused  string // admits another client only
	Log      string // the server's log file

	space  *namespace
	dir    string
	mapper *exec.Cmd
	server *exec.Cmd
}

// StartGanesha starts the server and stops it when the test ends. It needs root and the Debian packages nfs-ganesha,
// nfs-ganesha-vfs and rpcbind; without them the test fails.
func StartGanesha(t testing.TB) *Ganesha {
	t.Helper()
	g, err := startGanesha(t.TempDir())
	if err != nil {
		t.Fatalf("starting nfs-ganesha: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(g.state())
		}
		g.stop()
	})
	return g
}

// state says whether the server is still there, and how its log ends.
func (g *Ganesha) state() string {
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(g.server.Process.Pid, &status, syscall.WNOHANG, nil)
	log, _ := os.ReadFile(g.Log)
	return fmt.Sprintf("nfs-ganesha has ended: %v (status %#x, %v); its log ends\n%s", pid > 0, status, err, log[max(0, len(log)-2000):])
}

func startGanesha(dir string) (*Ganesha, error) {
	g := &Ganesha{Host: "127.0.0.1", dir: dir, Log: filepath.Join(dir, "ganesha.log")}
	for name, path := range map[string]*string{"exp": &g.Export, "squashed": &g.Squashed, "nameless": &g.Nameless, "readonly": &g.ReadOnly, "refused": &g.Refused} {
		*path = filepath.Join(dir, name)
		if err := os.Mkdir(*path, 0o755); err != nil {
			return nil, err
		}
	}
	for _, dir := range []string{g.Squashed, g.Nameless} {
		if err := os.Chown(dir, SquashUID, SquashGID); err != nil {
			return nil, err
		}
	}
	var err error
	if g.space, err = newNamespace(); err != nil {
		return nil, err
	}
	if err := g.startAll(); err != nil {
		g.stop()
		return nil, err
	}
	return g, nil
}

func (g *Ganesha) startAll() error {
	var err error
	if g.mapper, err = g.start("rpcbind", "-f", "-w"); err != nil {
		return err
	}
	if err := g.answers(111); err != nil {
		return err
	}
	return g.Start()
}

// Start starts the server again after Stop.
func (g *Ganesha) Start() error {
	conf := filepath.Join(g.dir, "ganesha.conf")
	var text bytes.Buffer
	if err := configuration.Execute(&text, g); err != nil {
		return err
	}
	if err := os.WriteFile(conf, text.Bytes(), 0o600); err != nil {
		return err
	}
	before, err := os.ReadFile(g.Log)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	g.server, err = g.start("ganesha.nfsd", "-F", "-f", conf, "-p", filepath.Join(g.dir, "pid"), "-N", "EVENT", "-L", g.Log)
	if err != nil {
		return err
	}
	return g.ready(len(before))
}

// ready waits until the server says, in its log after the first bytes, that it has started. It takes connections earlier, and
// says of version 3 then that there is no such program.
func (g *Ganesha) ready(after int) error {
	deadline := time.Now().Add(startTimeout)
	for {
		log, err := os.ReadFile(g.Log)
		switch {
		case err == nil && len(log) > after && bytes.Contains(log[after:], []byte("NFS SERVER INITIALIZED")):
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("nfs-ganesha has not started in %v (%v)\n%s", startTimeout, err, log[max(0, len(log)-4000):])
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Stop kills the server as a crash would.
func (g *Ganesha) Stop() {
	g.server.Process.Kill()
	g.server.Wait() // its error is our own doing
}

// stop ends every process in the namespace, and the namespace.
func (g *Ganesha) stop() {
	for _, cmd := range []*exec.Cmd{g.server, g.mapper} { // rpcbind changes its user and so loses Pdeathsig
		if cmd != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // its error is our own doing
		}
	}
	g.space.close()
}

func (g *Ganesha) start(name string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(name, args...)
	if _, err := exec.LookPath(name); errors.Is(err, exec.ErrNotFound) {
		cmd = exec.Command("/usr/sbin/"+name, args...)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	g.space.do(func() { err = cmd.Start() })
	if err != nil {
		return nil, err
	}
	return cmd, nil
}

// answers waits until something listens on a port inside.
func (g *Ganesha) answers(port int) error {
	deadline := time.Now().Add(startTimeout)
	for {
		nc, err := g.Dial(context.Background(), "tcp", net.JoinHostPort(g.Host, strconv.Itoa(port)))
		if err == nil {
			return nc.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("port %d: %w", port, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Dial connects to the server's namespace.
func (g *Ganesha) Dial(ctx context.Context, network, address string) (nc net.Conn, err error) {
	g.space.do(func() { nc, err = (&net.Dialer{}).DialContext(ctx, network, address) })
	return nc, err
}

// configuration: no Bind_addr, because ganesha finds no address in a namespace with only a loopback interface.
var configuration = template.Must(template.New("ganesha.conf").Parse(`
NFS_CORE_PARAM {
	Protocols = 3, 4;
	NFS_Port = 2049;
	MNT_Port = 20048;
	Enable_NLM = false;
	Enable_RQUOTA = false;
	Enable_UDP = false;
}
NFSv4 {
	Graceless = true;
	Minor_Versions = 0, 1, 2;
	RecoveryBackend = fs;
	Only_Numeric_Owners = true;
	Allow_Numeric_Owners = true;
}
EXPORT_DEFAULTS {
	Access_Type = RW;
	SecType = sys;
	Protocols = 3, 4;
	Transports = TCP;
	PrivilegedPort = false;
}
EXPORT { Export_Id = 1; Path = {{.Export}}; Pseudo = {{.Export}}; Squash = no_root_squash; FSAL { Name = VFS; } }
EXPORT { Export_Id = 2; Path = {{.Squashed}}; Pseudo = {{.Squashed}}; Squash = root_squash; FSAL { Name = VFS; } }
EXPORT { Export_Id = 3; Path = {{.ReadOnly}}; Pseudo = {{.ReadOnly}}; Squash = no_root_squash; Access_Type = RO; FSAL { Name = VFS; } }
EXPORT { Export_Id = 4; Path = {{.Refused}}; Pseudo = {{.Refused}}; Squash = no_root_squash; Access_Type = None;
	CLIENT { Clients = 192.0.2.1; Access_Type = RW; } FSAL { Name = VFS; } }
EXPORT { Export_Id = 5; Path = {{.Nameless}}; Pseudo = {{.Nameless}}; Squash = all_squash; Anonymous_Uid = 1000; Anonymous_Gid = 1000; FSAL { Name = VFS; } }
`))
