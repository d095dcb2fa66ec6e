package inventory

import (
	"strings"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Cluster is what clusters say of volumes on NFS servers. An export that several clusters use needs all of them.
type Cluster struct {
	Volumes []PersistentVolume
	Claims  []Claim
	Mounts  []Mount

	byName  map[string]use // of volumes and PersistentVolumes
	byPath  map[string]use // parts of paths
	byEnd   map[string]use // those to the end of a path: the directory itself is used, with all that is in it
	byClaim map[string]bool
}

// PersistentVolume is one that has its content on an NFS server.
type PersistentVolume struct {
	Name   string
	Volume string // the name of the volume in its handle, "" where it has none
	Server string // "" where it is not known
	Path   string // on the server
	Claim  string // namespace/name, "" for none
}

// Claim is a PersistentVolumeClaim, bound or not.
type Claim struct{ Namespace, Name, UID string }

// Mount is a directory that a pod mounts by itself.
type Mount struct {
	Pod  string // namespace/name
	Path string // on the server
}

// use says who needs something.
type use struct {
	found bool
	pv    string
	why   string
}

// Index makes c ready to be asked.
func (c *Cluster) Index() *Cluster {
	c.byName, c.byPath, c.byEnd, c.byClaim = map[string]use{}, map[string]use{}, map[string]use{}, map[string]bool{}
	for _, m := range c.Mounts {
		c.index(m.Path, use{found: true, why: "pod " + m.Pod + " mounts it"})
	}
	for _, claim := range c.Claims {
		c.byClaim[claim.Namespace+"/"+claim.Name] = true
		c.byName["pvc-"+claim.UID] = use{found: true, why: "claim " + claim.Namespace + "/" + claim.Name + " asks for it"}
	}
	for _, pv := range c.Volumes {
		u := use{found: true, pv: pv.Name}
		c.index(pv.Path, u)
		c.byName[pv.Name] = u
		if pv.Volume != "" {
			c.byName[pv.Volume] = u
		}
	}
	return c
}

// index remembers every run of a path's elements: the same directory may be known by another server's name, or by a path that
// begins elsewhere, so that any of them may be what a share calls a directory.
func (c *Cluster) index(path string, u use) {
	elements := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	for from := range elements {
		for to := from + 1; to <= len(elements); to++ {
			part, seen := strings.Join(elements[from:to], "/"), u
			if to < len(elements) {
				seen = use{found: true, why: path + " is in use, which it may be above"}
			} else {
				c.byEnd[part] = use{found: true, why: path + " is in use, which it may be in"}
			}
			if c.byPath[part].pv == "" {
				c.byPath[part] = seen
			}
		}
	}
}

// use says who needs the volume of the given name, or an archive, in a directory of a share, or one that it is in. Whatever may be a sign
// counts: that it is used by a mistake costs some room, the opposite costs data. Only whoever uses the whole share has no need of it.
func (c *Cluster) use(name string, dir volume.Dir, claim string) use {
	if u := c.byName[name]; name != "" && u.found {
		return u
	}
	if u := c.byPath[string(dir)]; u.found {
		return u
	}
	for _, above := range dir.Parents() {
		if u := c.byEnd[string(above)]; u.found {
			return u
		}
	}
	// A name with the claim's UID in it says more than the claim's name: another claim may have that by now.
	if claim != "" && !strings.HasPrefix(name, "pvc-") && c.byClaim[claim] {
		return use{found: true, why: "claim " + claim + " is there"}
	}
	return use{}
}

// below is the volume's directory on the share at l, if it says that it is there.
func (pv *PersistentVolume) below(l volume.Location) (dir string, ok bool) {
	if !strings.EqualFold(pv.Server, l.Server) {
		return "", false
	}
	dir, ok = strings.CutPrefix("/"+strings.Trim(pv.Path, "/"), strings.TrimSuffix(l.Share, "/")+"/")
	d, err := volume.ParseDir(dir)
	return string(d), ok && err == nil
}
