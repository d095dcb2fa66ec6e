//go:build e2e

package e2e

import "testing"

// inlineDir is below the share, and the one directory that the chart lets pods name (install).
const inlineDir = "inline"

// A pod mounts without a claim what the chart lists, and nothing else.
func TestInlineVolume(t *testing.T) {
	n := newNamespace(t, "inline")
	dir := inlineDir + "/" + n.name
	n.export().sh("mkdir -p " + dir + " && chmod 777 " + dir)
	t.Cleanup(func() { n.export().sh("rm -rf " + dir) })
	n.apply("inline.yaml", map[string]any{"Pod": "own", "Dir": dir})
	n.apply("inline.yaml", map[string]any{"Pod": "other", "Dir": "elsewhere"})
	n.ready("own")
	n.sh("own", "echo mine > /data/file && grep ' /data ' /proc/mounts | grep nosuid | grep -q nodev")
	n.export().sh("grep -qx mine " + dir + "/file")
	n.warned("other", "is not among the exports that inline volumes may name", claimDeadline)
	for _, pod := range []string{"own", "other"} {
		n.in("delete", "pod", pod)
		n.gone("pod", pod)
	}
	n.export().sh("grep -qx mine " + dir + "/file") // a pod's end deletes nothing
}
