package migrate

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// locks refuses a volume whose locks would no more hold between nodes, without a word: mount.nfs has NFSv3's kept by rpc.statd, this
// driver mounts with nolock where the options do not speak of it.
func locks(old, successor *v1.PersistentVolume) error {
	if !locksUnspoken(optionsOf(successor)) {
		return nil
	}
	place := "mountOptions"
	if _, beta := old.Annotations[v1.MountOptionAnnotation]; beta {
		place = "annotation " + v1.MountOptionAnnotation
	}
	return fmt.Errorf("it is mounted by NFSv3, whose locks this driver keeps within each node: pods on two nodes would both get one exclusive lock. "+
		"Write into its %s nfsvers=4.2 where the server has that, `lock` where rpc.statd runs on every node, or `nolock` where nobody locks", place)
}

// optionsOf are those that a node mounts a volume with.
func optionsOf(pv *v1.PersistentVolume) []string {
	m, _ := volume.ParseContext(pv.Spec.CSI.VolumeAttributes) // which was read before
	var options []string
	for _, text := range slices.Concat(pv.Spec.MountOptions, m.Options) {
		options = append(options, volume.SplitOptions(text)...)
	}
	return options
}

// locksUnspoken says whether options name version 3, the last one counts, and say nothing of locks.
func locksUnspoken(options []string) bool {
	three := false
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		switch key {
		case "vers", "nfsvers":
			three = value == "3"
		case "v3", "v4", "v4.0", "v4.1", "v4.2":
			three = key == "v3"
		case "lock", "nolock", "local_lock":
			return false
		}
	}
	return three
}
