package check

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
)

// Bounds of looking through a pseudo root, which is small.
const (
	mostPseudo  = 64 // directories listed
	mostShown   = 12 // exports in a line
	deepestPath = 12 // elements
)

// exports lists what the server says it has: MOUNT's list, and what version 4 shows below its root.
func (c *checker) exports(ctx context.Context) bool {
	var paths, texts []string
	listed, err := nfs.Exports(ctx, c.NFS)
	if err != nil {
		c.NFS.Log.Debug("no list of exports", "err", err)
	}
	for _, e := range listed {
		to := "everybody"
		if len(e.Clients) > 0 {
			to = strings.Join(e.Clients, " ")
		}
		paths, texts = append(paths, e.Path), append(texts, fmt.Sprintf("%s to %s", e.Path, to))
	}
	if !slices.ContainsFunc(paths, c.covers) { // the paths of version 4 may be others; it cannot tell an export from what is above one
		for _, p := range c.pseudo(ctx) {
			if !slices.Contains(paths, p) {
				paths, texts = append(paths, p), append(texts, p)
			}
		}
	}
	l := Line{Check: "exports", Status: OK, Data: map[string]any{"exports": paths}}
	switch {
	case len(paths) == 0:
		l.Text = "the server lists none"
	case slices.ContainsFunc(paths, c.covers):
		l.Text = "the server lists " + shown(texts)
	default:
		l.Status, l.Text = Warn, fmt.Sprintf("%s is not among what the server lists: %s", c.NFS.Export, shown(texts))
		l.Fix = "name one of these, or export the directory; some servers hide what this client may not use"
	}
	c.found(l)
	return true
}

// covers tells whether the directory is an export, or below it.
func (c *checker) covers(export string) bool {
	return strings.HasPrefix(strings.TrimSuffix(c.NFS.Export, "/")+"/", strings.TrimSuffix(export, "/")+"/")
}

func shown(texts []string) string {
	if len(texts) <= mostShown {
		return strings.Join(texts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(texts[:mostShown], ", "), len(texts)-mostShown)
}

// pseudo lists the exports that version 4 shows: what is on another file system than the directory above it. A root that can be
// written to is an export itself.
func (c *checker) pseudo(ctx context.Context) []string {
	config := c.NFS
	config.Export, config.Versions = "/", slices.DeleteFunc(slices.Clone(c.wanted()), func(v nfs.Version) bool { return v == nfs.V3 })
	if len(config.Versions) == 0 {
		return nil
	}
	if f, err := nfs.Open(ctx, config); err == nil {
		f.Close()
		return []string{"/"}
	}
	config.ActAsOwner = false
	f, err := nfs.Open(ctx, config)
	if err != nil {
		c.NFS.Log.Debug("no pseudo root", "err", err)
		return nil
	}
	defer f.Close()
	return walkPseudo(ctx, f)
}

// walkPseudo goes down from the root of a server, breadth first.
func walkPseudo(ctx context.Context, f *nfs.FS) (exports []string) {
	root, err := f.Lstat(ctx, ".")
	if err != nil {
		return nil
	}
	above := root.Sys().(*nfs.Attr).FSID
	for queue, looked := []string{"."}, 0; len(queue) > 0 && looked < mostPseudo; looked++ {
		dir := queue[0]
		queue = queue[1:]
		infos, err := f.ReadDir(ctx, dir)
		if err != nil {
			continue
		}
		for _, info := range infos {
			name := path.Join(dir, info.Name())
			switch {
			case !info.IsDir():
			case info.Sys().(*nfs.Attr).FSID != above:
				exports = append(exports, "/"+name)
			case strings.Count(name, "/") < deepestPath:
				queue = append(queue, name)
			}
		}
	}
	return exports
}
