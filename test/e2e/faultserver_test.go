//go:build e2e

package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// faultServer is an NFS server of one test, in a pod whose address stays while the server dies and comes back.
type faultServer struct {
	namespace
	pod     string
	address string
}

// export is a directory that a faultServer serves.
type export struct {
	ID     int
	Path   string
	Access string // as nfs-ganesha has it: RW, RO
	Size   string // of a small one, in memory
}

// mainExport is what every faultServer serves.
const mainExport = "/exports"

// as is the same server in the hands of a subtest.
func (s faultServer) as(t *testing.T) faultServer {
	s.t = t
	return s
}

// newServers starts servers, all at once. They export mainExport and more.
func (n namespace) newServers(node string, more []export, names ...string) []faultServer {
	n.t.Helper()
	exports := append([]export{{ID: 1, Path: mainExport, Access: "RW"}}, more...)
	for _, name := range names {
		n.apply("fault-server.yaml", map[string]any{"Name": name, "Node": node, "Exports": exports})
	}
	var all []faultServer
	for _, name := range names {
		n.ready(name)
		all = append(all, faultServer{n, name, n.address(name)})
	}
	n.t.Cleanup(func() {
		if !kept() {
			n.leave(all)
		}
	})
	return all
}

// leave deletes what uses servers before they go with the namespace: without its server no volume could be deleted any more.
func (n namespace) leave(servers []faultServer) {
	_, err1 := n.tryIn("delete", "pods", "-l", "role!=server", "--wait=false")
	_, err2 := n.tryIn("delete", "pvc", "--all", "--wait=false")
	err3 := poll(goneDeadline, func() error {
		for _, s := range servers {
			if volumes, err := s.volumesOn(""); err != nil || len(volumes) > 0 {
				return cmp.Or(err, fmt.Errorf("of the server %s there are still %d volumes", s.pod, len(volumes)))
			}
		}
		return nil
	})
	if err := errors.Join(err1, err2, err3); err != nil {
		n.t.Error(err)
		for _, s := range servers {
			volumes, _ := s.volumesOn("")
			for _, v := range volumes {
				_, _ = n.try("patch", "pv", v.Name, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
				_, _ = n.try("delete", "pv", v.Name, "--wait=false")
			}
		}
	}
}

func (n namespace) newServer(name string, more ...export) faultServer {
	n.t.Helper()
	return n.newServers("", more, name)[0]
}

// run runs a script in the server's pod. The pod's exec needs no network of the pod.
func (s faultServer) run(script string) string {
	s.t.Helper()
	return s.sh(s.pod, script)
}

// class makes a StorageClass of one of the server's exports.
func (s faultServer) class(share string, parameters map[string]string) string {
	s.t.Helper()
	all := map[string]string{"server": s.address, "share": share}
	for k, v := range parameters {
		all[k] = v
	}
	return s.makeClass(s.pod+strings.ReplaceAll(share, "/", "-"), all)
}

// strike is a way for a server to fail, and to come back.
type strike struct {
	how      string
	down, up func(faultServer)
}

var strikes = []strike{
	{how: "killed", down: faultServer.stop, up: faultServer.start},
	{how: "frozen", down: faultServer.freeze, up: faultServer.thaw},
	{how: "unreachable", down: faultServer.blackHole, up: faultServer.heal},
}

// stop kills the server at once: connections are refused from then on.
func (s faultServer) stop() {
	s.run("touch /control/stopped; killall -9 ganesha.nfsd rpcbind; while pidof ganesha.nfsd; do sleep 0.1; done")
}

// start lets it start again; it then waits for its old clients to reclaim what they had open.
func (s faultServer) start() { s.run("rm -f /control/stopped") }

// freeze leaves a server that takes connections and never answers.
func (s faultServer) freeze() { s.run("killall -STOP ganesha.nfsd") }
func (s faultServer) thaw()   { s.run("killall -CONT ganesha.nfsd") }

// blackHole drops, on every node, all that is sent to the server.
func (s faultServer) blackHole() { s.onEveryNode("-I") }
func (s faultServer) heal()      { s.onEveryNode("-D") }

func (s faultServer) onEveryNode(action string) {
	s.t.Helper()
	for _, node := range s.nodes {
		s.on(node, fmt.Sprintf("for chain in FORWARD OUTPUT; do iptables %s $chain -d %s -p tcp -j DROP || exit 1; done", action, s.address))
	}
}

// holding is what lies on a share: names of volumes by what names them.
type holding struct {
	records, reserved, dirs, rest []string // rest: trash and staging
}

// holds looks at a share from the server's side.
func (s faultServer) holds(share string) (holding, error) {
	var h holding
	out, err := s.tryIn("exec", s.pod, "--", "sh", "-c", "cd "+share+` && { ls -A | sed 's/^/dir /'; cd .nfs-csi 2>/dev/null || exit 0
ls -A volumes | sed 's/^/record /'; find directories -type l -exec readlink {} \; | sed 's|.*/|reserved |'
find trash staging -mindepth 1 -maxdepth 1 | sed 's/^/rest /'; }`)
	for line := range strings.Lines(out) {
		kind, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch kind {
		case "dir":
			if name != ".nfs-csi" {
				h.dirs = append(h.dirs, name)
			}
		case "record":
			h.records = append(h.records, strings.TrimSuffix(name, ".json"))
		case "reserved":
			h.reserved = append(h.reserved, strings.TrimSuffix(name, ".json"))
		case "rest":
			h.rest = append(h.rest, name)
		}
	}
	return h, err
}

// leaks compares what lies on a share with the cluster's volumes and claims: a line for everything that has no counterpart.
func (s faultServer) leaks(share string) ([]string, error) {
	h, err := s.holds(share)
	if err != nil {
		return nil, err
	}
	volumes, err := s.volumesOn(share)
	if err != nil {
		return nil, err
	}
	var names, dirs, leaks []string
	for _, v := range volumes {
		names, dirs = append(names, v.Name), append(dirs, v.Dir)
	}
	for _, c := range []struct {
		what      string
		got, want []string
	}{{"record", h.records, names}, {"reservation", h.reserved, names}, {"directory", h.dirs, dirs}} {
		leaks = append(leaks, differences(c.what, c.got, c.want)...)
	}
	for _, name := range h.rest {
		leaks = append(leaks, "not removed: "+name)
	}
	claims, err := s.try("get", "pvc", "-A", "-o", `jsonpath={range .items[*]}{.spec.volumeName}{"\n"}{end}`)
	if err != nil {
		return nil, err
	}
	bound := strings.Fields(claims)
	for _, name := range names {
		if !slices.Contains(bound, name) {
			leaks = append(leaks, "volume of no claim: "+name)
		}
	}
	return leaks, nil
}

// volumesOn are the PersistentVolumes on a share of this server; "" is any.
func (s faultServer) volumesOn(share string) (found []volume, err error) {
	var list struct{ Items []persistentVolume }
	err = s.get(&list, "pv")
	for _, p := range list.Items {
		if v := p.volume(); v.Server == s.address && (v.Share == share || share == "") {
			found = append(found, v)
		}
	}
	return found, err
}

// differences are what only one of the two lists has, and what the first has twice.
func differences(what string, got, want []string) (lines []string) {
	count := map[string]int{}
	for _, name := range want {
		count[name]--
	}
	for _, name := range got {
		count[name]++
	}
	for name, n := range count {
		switch {
		case n > 0:
			lines = append(lines, what+" without volume: "+name)
		case n < 0:
			lines = append(lines, "volume without "+what+": "+name)
		}
	}
	slices.Sort(lines)
	return lines
}

// clean waits until nothing on a share is without its counterpart, and judges what is left then.
func (s faultServer) clean(what, share string, deadline time.Duration) {
	s.t.Helper()
	var leaks []string
	err := poll(deadline, func() (err error) {
		if leaks, err = s.leaks(share); err == nil && len(leaks) > 0 {
			err = fmt.Errorf("%d leaks", len(leaks))
		}
		return err
	})
	if err != nil && len(leaks) == 0 {
		s.t.Errorf("%s: looking for leaks: %v", what, err)
	}
	s.none(what+": leaks", leaks)
}
