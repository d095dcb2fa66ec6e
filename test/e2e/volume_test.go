//go:build e2e

package e2e

import (
	"fmt"
	"path"
	"sort"
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

// exists says whether there is something of this name below the export.
func (v viewer) exists(name string) bool {
	v.t.Helper()
	return strings.TrimSpace(v.sh(fmt.Sprintf("if [ -e %q ]; then echo yes; fi", name))) == "yes"
}

// names finds everything whose path below the export contains text, records and reservations too.
func (v viewer) names(text string) []string {
	v.t.Helper()
	// Links are reservations, their target is the volume's record.
	out := strings.Fields(v.sh(fmt.Sprintf("find . -maxdepth 4 -path '*%s*' -prune -print; find .nfs-csi -type l -exec readlink {} + 2>/dev/null | grep -F %q || true", text, text)))
	for i := range out {
		out[i] = path.Clean(out[i])
	}
	sort.Strings(out)
	return out
}
