package docs_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

var update = flag.Bool("update", false, "write docs/parameters.md anew")

const parametersHead = `<!-- Made from pkg/volume/parameters.go by ` + "`make manifests`" + `: change that, not this file. -->
# Parameters

Keys are read in any case. A key that is not known is a mistake in a class, and passed over among volumeAttributes. Values are text: write numbers
in quotes.

| | StorageClass | VolumeAttributesClass | VolumeSnapshotClass | volumeAttributes | values | default |
| --- | --- | --- | --- | --- | --- | --- |
`

// parametersDocument is docs/parameters.md as the code has it.
func parametersDocument() string {
	var b strings.Builder
	b.WriteString(parametersHead)
	var meanings strings.Builder
	for _, p := range volume.Parameters() {
		fmt.Fprintf(&b, "| `%s` |", p.Name)
		for _, place := range []volume.Place{volume.InClass, volume.InAttributesClass, volume.InSnapshotClass, volume.InAttributes} {
			if p.In&place != 0 {
				b.WriteString(" yes |")
			} else {
				b.WriteString(" |")
			}
		}
		fmt.Fprintf(&b, " %s | %s |\n", p.Values, p.Default)
		fmt.Fprintf(&meanings, "* `%s`: %s\n", p.Name, p.Meaning)
	}
	return b.String() + "\n" + meanings.String() + `
Keys below ` + "`csi.storage.k8s.io/`" + ` are Kubernetes' own; names of Secrets among them are passed over unless the chart's ` + "`driver.secrets`" + ` has them.
Classes of the provisioner names of nfs-subdir-external-provisioner are read in its own words.
`
}

// TestParametersDocument: docs/parameters.md is what the code has. `go test -update` writes it anew.
func TestParametersDocument(t *testing.T) {
	want, path := parametersDocument(), filepath.Join(root, "docs/parameters.md")
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, "docs/parameters.md"); got != want {
		t.Errorf("docs/parameters.md is not what pkg/volume/parameters.go says: run `make manifests`\n%s", want)
	}
}

// TestParametersAreRead: what the table says may be written somewhere is read there, and what it does not say is refused.
func TestParametersAreRead(t *testing.T) {
	values := map[string]string{
		volume.ParamServer: "s", volume.ParamShare: "/e", volume.ParamSubDir: "d", volume.ParamPathPattern: "d", volume.ParamOnDelete: "retain",
		volume.ParamArchiveOnDelete: "true", volume.ParamArchiveRetention: "1h", volume.ParamMountPermissions: "0770", volume.ParamUID: "1",
		volume.ParamGID: "1", volume.ParamOnExisting: "adopt", volume.ParamCapacityCheck: "strict", volume.ParamCapacityReserve: "5%", volume.ParamMountOptions: "hard",
	}
	for _, p := range volume.Parameters() {
		if p.Meaning == "" || p.Values == "" {
			t.Errorf("%s is not explained", p.Name)
		}
		one := map[string]string{p.Name: values[p.Name]}
		_, err := volume.ParseClass(one, volume.Defaults{Server: "s", Share: "/e"})
		if (err == nil) != (p.In&volume.InClass != 0) {
			t.Errorf("%s in a class: %v", p.Name, err)
		}
		if _, err := volume.ParseChanges(one); (err == nil) != (p.In&volume.InAttributesClass != 0) {
			t.Errorf("%s in a VolumeAttributesClass: %v", p.Name, err)
		}
		plain := map[string]string{volume.ParamServer: "other", volume.ParamShare: "/other"}
		without, _ := volume.ParseContext(plain)
		plain[p.Name] = values[p.Name]
		with, err := volume.ParseContext(plain)
		if err != nil || !reflect.DeepEqual(without, with) != (p.In&volume.InAttributes != 0) {
			t.Errorf("%s as an attribute: %+v, %v", p.Name, with, err)
		}
	}
	if len(volume.Parameters()) != len(values) {
		t.Errorf("there are %d parameters, and values for %d", len(volume.Parameters()), len(values))
	}
}
