package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
)

// versions tries each version for itself.
func (c *checker) versions(ctx context.Context) bool {
	errs := make([]error, len(everyVersion))
	var wg sync.WaitGroup
	for i, v := range everyVersion {
		wg.Go(func() {
			config := c.NFS
			config.Versions, config.ActAsOwner = []nfs.Version{v}, false
			var f *nfs.FS
			if f, errs[i] = nfs.Open(ctx, config); errs[i] == nil {
				f.Close()
			}
		})
	}
	wg.Wait()
	if hindered(errs[0]) {
		return true // opening the export says it better
	}
	var there, missing []string
	data := map[string]any{}
	for i, v := range everyVersion {
		if answers(errs[i]) {
			there = append(there, v.String())
		} else {
			missing = append(missing, v.String())
			c.NFS.Log.Debug("a version is missing", "version", v, "err", errs[i])
		}
		data[v.String()] = answers(errs[i])
	}
	l := Line{Check: "versions", Status: OK, Text: "the server has " + strings.Join(there, ", "), Data: data}
	if len(missing) > 0 {
		l.Text += ", not " + strings.Join(missing, ", ")
	}
	switch {
	case len(there) == 0:
		l.Status, l.Text, l.Fix = Fail, "no version of NFS answers: "+c.short(errs[0]), fixOf(errs[0])
	case !slices.ContainsFunc(c.wanted(), func(v nfs.Version) bool { return slices.Contains(there, v.String()) }):
		l.Status, l.Fix = Fail, "the mount options ask for another: change vers="
	case !answers(errs[0]) && !answers(errs[1]):
		l.Status, l.Fix = Warn, "switch on version 4.1 or 4.2: only they keep what a lost connection interrupts from being done twice"
	}
	c.found(l)
	return len(there) > 0
}

// hindered tells what has kept us from asking: not the server, or not for its version.
func hindered(err error) bool { return errors.Is(err, nfs.ErrTLS) || errors.Is(err, nfs.ErrSourcePort) }

// answers tells a server that has the version, whatever it says of the export.
func answers(err error) bool {
	return err == nil || !errors.Is(err, nfs.ErrVersion) && !errors.Is(err, nfs.ErrUnreachable) && !errors.Is(err, context.DeadlineExceeded)
}

// open opens the export as the driver does. Where nobody may write, it is opened for looking.
func (c *checker) open(ctx context.Context) (writable bool) {
	f, err := nfs.Open(ctx, c.NFS)
	if err == nil {
		c.fs = f
		_, err = f.Lstat(ctx, ".") // servers let anybody look up a path
	}
	if err == nil {
		who := f.ActingAs()
		c.found(Line{Check: "export", Status: OK, Text: fmt.Sprintf("version %v opens it, and user %d may write there", f.Version(), who.UID),
			Data: map[string]any{"version": f.Version().String(), "uid": who.UID, "gid": who.GID}})
		return true
	}
	l := Line{Check: "export", Status: Fail, Text: c.short(err), Fix: fixOf(err)}
	if c.fs == nil {
		c.fs = c.openToLook(ctx)
	}
	if c.fs != nil && c.ReadOnly {
		l.Status = Warn
	}
	c.found(l)
	return false
}

func (c *checker) openToLook(ctx context.Context) *nfs.FS {
	config := c.NFS
	config.ActAsOwner = false
	f, err := nfs.Open(ctx, config)
	if err != nil {
		return nil
	}
	if _, err := f.Lstat(ctx, "."); err != nil {
		f.Close()
		return nil
	}
	return f
}

// ports finds out from which ports the server may be called.
func (c *checker) ports(ctx context.Context) bool {
	from := func(ports nfs.SourcePorts) error {
		config := c.NFS
		config.Versions, config.ActAsOwner, config.SourcePorts = []nfs.Version{c.fs.Version()}, false, ports
		return nfs.Probe(ctx, config)
	}
	high, low := from(nfs.AnyPort), from(nfs.LowPort)
	allowed := !errors.Is(low, nfs.ErrSourcePort)
	l := Line{Check: "ports", Status: OK, Data: map[string]any{"insecure": high == nil, "lowPortsAllowed": allowed}}
	switch {
	case high == nil:
		l.Text = "it may be called from any port (insecure)"
	case low == nil && errors.Is(high, nfs.ErrRefused):
		l.Text = "it may be called from ports below 1024 only (secure), which this process may use"
		l.Fix = "nothing where the controller's pods keep their addresses; where these are translated on the way, add insecure to the export or set controller.hostNetwork=true in the chart"
	default:
		l.Status, l.Text, l.Fix = Warn, "whether it may be called from any port is not clear: "+c.short(high), fixOf(high)
	}
	c.found(l)
	return true
}

// locks says how files are locked.
func (c *checker) locks(context.Context) bool {
	if c.fs.Version() != nfs.V3 {
		c.found(Line{Check: "locks", Status: OK, Text: fmt.Sprintf("version %v has them built in", c.fs.Version())})
		return true
	}
	l := Line{Check: "locks", Status: Warn, Text: "version 3 locks by another service (NLM), and nodes mount with nolock: files are locked among the pods of one node only",
		Fix: "use version 4 where pods on several nodes lock files; or mount option lock, with rpc.statd on every node"}
	if c.services != nil {
		registered := slices.ContainsFunc(c.services, func(s nfs.Service) bool { return s.Program == nfs.ProgramLocks })
		if !registered {
			l.Text += "; the server's port mapper does not know it either"
		}
		l.Data = map[string]any{"nlm": registered}
	}
	c.found(l)
	return true
}
