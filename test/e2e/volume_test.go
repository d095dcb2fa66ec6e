//go:build e2e

package e2e

import (
	"path"
	"slices"
	"strings"
)

// volume is what a PersistentVolume says of itself.
type volume struct {
	Name          string
	Phase         string
	Handle        string
	Server, Share string
	Dir           string // below the share
	ReclaimPolicy string
	Modes         []string
	Capacity      string
	MountOptions  []string
}

type persistentVolume struct {
	Metadata struct{ Name string }
	Spec     struct {
		AccessModes                   []string
		Capacity                      map[string]string
		MountOptions                  []string
		PersistentVolumeReclaimPolicy string
		CSI                           struct {
			VolumeHandle     string
			VolumeAttributes map[string]string
		}
		ClaimRef struct{ Namespace, Name string }
	}
	Status struct{ Phase string }
}

func (p persistentVolume) volume() volume {
	v := volume{
		Name: p.Metadata.Name, Phase: p.Status.Phase, Handle: p.Spec.CSI.VolumeHandle,
		ReclaimPolicy: p.Spec.PersistentVolumeReclaimPolicy, Modes: p.Spec.AccessModes,
		Capacity: p.Spec.Capacity["storage"], MountOptions: p.Spec.MountOptions,
	}
	for k, x := range p.Spec.CSI.VolumeAttributes {
		switch strings.ToLower(k) {
		case "server":
			v.Server = x
		case "share":
			v.Share = x
		case "subdir":
			v.Dir = x
		}
	}
	return v
}

// volumeOf is the volume that a claim is bound to.
func (n namespace) volumeOf(claim string) volume {
	n.t.Helper()
	name := strings.TrimSpace(n.in("get", "pvc", claim, "-o", "jsonpath={.spec.volumeName}"))
	if name == "" {
		n.t.Fatalf("claim %s has no volume", claim)
	}
	v, err := n.volume(name)
	if err != nil {
		n.t.Fatal(err)
	}
	return v
}

func (c cluster) volume(name string) (volume, error) {
	var p persistentVolume
	err := c.get(&p, "pv", name)
	return p.volume(), err
}

// viewer is the pod that sees a whole export: the one place from which the tests look at what is really there.
type viewer struct {
	cluster
	pod string
}

// viewers live here; TestMain makes and removes them.
const viewerNamespace = "e2e-viewers"

func (c cluster) export() viewer  { return viewer{c, "inside"} }
func (c cluster) outSide() viewer { return viewer{c, "outside"} }

// sh runs a script in the top directory of the export.
func (v viewer) sh(script string) string {
	v.t.Helper()
	return v.must("-n", viewerNamespace, "exec", v.pod, "--", "sh", "-c", "cd /export && "+script)
}

// listing is what lies on an export, paths without "./", to the depth that directories of volumes, their first files and our
// own bookkeeping have. A symbolic link is two entries, its own path and where it leads to.
type listing []string

func (v viewer) list() listing {
	v.t.Helper()
	out := v.sh("find . -maxdepth 5; find .nfs-csi -type l -exec readlink {} \\; 2>/dev/null || true")
	var l listing
	for line := range strings.Lines(out) {
		l = append(l, path.Clean(strings.TrimSuffix(line, "\n")))
	}
	return l
}

// has says whether there is this path.
func (l listing) has(path string) bool { return slices.Contains(l, path) }

// about is everything whose path contains text: directories, records, reservations.
func (l listing) about(text string) (found listing) {
	for _, path := range l {
		if strings.Contains(path, text) {
			found = append(found, path)
		}
	}
	return found
}
