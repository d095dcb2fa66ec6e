package chart_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// Each mistake is refused, and the words say where it is and what is wrong with it.
func TestMistakesAreRefusedInWords(t *testing.T) {
	for _, test := range []struct{ values, where, what string }{
		{"contoller: {replicas: 3}", "''", "'contoller' not allowed"},
		{"controller: {replica: 3}", "'/controller'", "'replica' not allowed"},
		{"controller: {replicas: two}", "'/controller/replicas'", "got string, want integer"},
		{"controller: {replicas: -1}", "'/controller/replicas'", "minimum: got -1, want 0"},
		{"controller: {logFormat: xml}", "'/controller/logFormat'", "must be one of 'text', 'json'"},
		{"controller: {logLevel: 11}", "'/controller/logLevel'", "maximum: got 11, want 10"},
		{"controller: {resources: {limit: {}}}", "'/controller/resources'", "'limit' not allowed"},
		{"controller: {extraArgs: --v=4}", "'/controller/extraArgs'", "got string, want array"},
		{"node: {tolerations: [{effect: Never}]}", "'/node/tolerations/0/effect'", "must be one of 'NoSchedule'"},
		{"node: {maxUnavailable: 0}", "'/node/maxUnavailable'", "minimum: got 0, want 1"},
		{"node: {maxUnavailable: half}", "'/node/maxUnavailable'", "'half' does not match pattern"},
		{"node: {replicas: 1}", "'/node'", "'replicas' not allowed"},
		{"driver: {name: Bad_Name}", "'/driver/name'", "'Bad_Name' does not match pattern"},
		{"driver: {name: " + strings.Repeat("a", 64) + "}", "'/driver/name'", "maxLength: got 64, want 63"},
		{"driver: {mountPermissions: 0777}", "- driver.mountPermissions", `got the number 511: write the octal mode in quotes: "0777"`},
		{"driver: {mountPermissions: '0888'}", "'/driver/mountPermissions'", "'0888' does not match pattern"},
		{"driver: {defaultOnDelete: remove}", "'/driver/defaultOnDelete'", "must be one of '', 'delete', 'retain', 'archive'"},
		{"nfs: {server: 'nfs:/export'}", "'/nfs/server'", "does not match pattern"},
		{"nfs: {export: /export}", "'/nfs'", "'export' not allowed"},
		{"nfs: {share: export}", "'/nfs/share'", "'export' does not match pattern"},
		{"kubeletDir: var/lib/kubelet", "'/kubeletDir'", "does not match pattern"},
		{"kubeletDir: /var/lib/kubelet/", "'/kubeletDir'", "does not match pattern"},
		{"image: {tag: 'a:b'}", "'/image/tag'", "does not match pattern"},
		{"image: {digest: 'sha256:abc'}", "'/image/digest'", "does not match pattern"},
		{"image: {pullPolicy: Sometimes}", "'/image/pullPolicy'", "must be one of 'Always', 'IfNotPresent', 'Never'"},
		{"imagePullSecrets: [mine]", "'/imagePullSecrets/0'", "got string, want object"},
		{"provisionerNames: ['not/a/name']", "'/provisionerNames/0'", "does not match pattern"},
		{"provisionerNames: ['a/b=server']", "'/provisionerNames/0'", "does not match pattern"},
		{"volumeSource: nfs4", "'/volumeSource'", "must be one of 'csi', 'nfs'"},
		{"metrics: {nodePort: 80}", "'/metrics/nodePort'", "minimum: got 80, want 1,024"},
		{"storageClasses: {name: nfs}", "'/storageClasses'", "got object, want array"},
		{"storageClasses: [{create: true}]", "'/storageClasses/0'", "missing property 'name'"},
		{"storageClasses: [{name: A_B}]", "'/storageClasses/0/name'", "'A_B' does not match pattern"},
		{"storageClasses: [{name: a, reclaimPolicy: Recycle}]", "'/storageClasses/0/reclaimPolicy'", "must be one of 'Delete', 'Retain'"},
		{"storageClasses: [{name: a, parameters: {onDeleet: retain}}]", "'/storageClasses/0/parameters'", "'onDeleet' not allowed"},
		{"storageClasses: [{name: a, parameters: {onDelete: archiv}}]", "'/storageClasses/0/parameters/onDelete'", "must be one of 'delete', 'retain', 'archive'"},
		{"storageClasses: [{name: a, parameters: {mountPermissions: 0770}}]", "'/storageClasses/0/parameters/mountPermissions'", "got number, want string"},
		{"storageClasses: [{name: a, mountOptions: 'ro,soft'}]", "'/storageClasses/0/mountOptions'", "got string, want array"},
		{"snapshots: {classes: [{name: a, deletionPolicy: Keep}]}", "'/snapshots/classes/0/deletionPolicy'", "must be one of 'Delete', 'Retain'"},
		{"capacity: true", "'/capacity'", "got boolean, want object"},
		// Mistakes between values, which the templates find.
		{"storageClasses: [{name: a}, {name: a}]", "storageClasses", `two classes are named "a"`},
		{"storageClasses: [{name: a, default: true}, {name: b, default: true}]", "storageClasses", "a, b are all the default class"},
		{"snapshots: {classes: [{name: a}, {name: a}]}", "snapshots.classes", `two classes are named "a"`},
		{"snapshots: {classes: [{name: a, default: true}, {name: b, default: true}]}", "snapshots.classes", "a, b are all the default class"},
		{"driver: {secrets: [{namespace: a, name: b}, {namespace: a, name: b}]}", "'/driver/secrets'", "equal"},
		{"serviceAccount: {controller: a, node: a}", "serviceAccount.controller", `are both "a"`},
		{"snapshots: {enabled: false, classes: [{name: a}]}", "snapshots.classes", "needs snapshots.enabled"},
		{"nfs: {server: a}", "nfs.share is empty", "give both, or neither"},
		{"nfs: {share: /a}", "nfs.server is empty", "give both, or neither"},
		{"storageClasses: [{name: a, parameters: {server: b}}]", "storageClasses", `class "a" has a server but no share: set it in the class's parameters`},
		{"storageClasses: [{name: a, parameters: {Share: /b}}]", "'/storageClasses/0/parameters'", "'Share' not allowed"},
		{"storageClasses: [{name: a, parameters: {share: /b}}]", "storageClasses", `class "a" has a share but no server: set it in the class's parameters`},
		{"controller: {hostNetwork: true}\nmetrics: {controllerPort: 9809}", "metrics.controllerPort", "must differ"},
		{"metrics: {podMonitor: {enabled: true}}", "metrics.podMonitor.enabled", "needs metrics.enabled"},
		{"tls: {mutual: true}", "tls.mutual", "needs tls.secretName"},
		{"customLabels: {app.kubernetes.io/name: a}", "customLabels has app.kubernetes.io/name", "leave it out"},
		{"controller: {podLabels: {app.kubernetes.io/instance: a}}", "controller.podLabels has app.kubernetes.io/instance", "leave it out"},
		{"node: {podLabels: {app.kubernetes.io/component: a}}", "node.podLabels has app.kubernetes.io/component", "leave it out"},
	} {
		_, err := tryRender(t, test.values)
		if err == nil {
			t.Errorf("%s: accepted", test.values)
			continue
		}
		if !strings.Contains(err.Error(), test.where) || !strings.Contains(err.Error(), test.what) {
			t.Errorf("%s:\nthe error is %v\nwithout %q or %q", test.values, err, test.where, test.what)
		}
	}
}

// A chart of which this one is a part passes down its own values under "global".
func TestGlobalValuesAreAllowed(t *testing.T) {
	render(t, "global: {anything: [1]}")
}

type schema struct {
	Ref         string `json:"$ref"`
	Properties  map[string]schema
	Items       *schema
	Definitions map[string]schema
}

func readSchema(t *testing.T) schema {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chartDir, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// The schema knows no value that values.yaml does not have and explain.
func TestSchemaHasTheValuesOfTheChart(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(chartDir, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var defaults map[string]any
	if err := yaml.Unmarshal(text, &defaults); err != nil {
		t.Fatal(err)
	}
	s := readSchema(t)
	delete(s.Properties, "global")
	if missing := absent("", s, defaults); len(missing) > 0 {
		t.Errorf("in values.schema.json but not in values.yaml: %v", missing)
	}
}

func absent(prefix string, s schema, values map[string]any) []string {
	var missing []string
	for name, inner := range s.Properties {
		if inner.Ref == "#/definitions/csiDriverNFS" || inner.Ref == "#/definitions/nfsSubdir" {
			continue // understood, or told what replaces it: predecessor_test.go, subdir_test.go
		}
		value, ok := values[name]
		if !ok {
			missing = append(missing, prefix+name)
			continue
		}
		if m, ok := value.(map[string]any); ok {
			missing = append(missing, absent(prefix+name+".", inner, m)...)
		}
	}
	return missing
}

// The schema knows the driver's class parameters, all of them, in its spelling and in lower case.
func TestSchemaHasTheParametersOfTheDriver(t *testing.T) {
	var want []string
	for _, name := range driverParameters(t) {
		want = append(want, name, strings.ToLower(name))
	}
	slices.Sort(want)
	want = slices.Compact(want)
	var got []string
	for name := range readSchema(t).Properties["storageClasses"].Items.Properties["parameters"].Properties {
		got = append(got, name)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the schema has %v\npkg/volume has %v", got, want)
	}
}

// driverParameters are the values of the constants Param... of pkg/volume that a user may write.
func driverParameters(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "pkg/volume/class.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Param") {
			return true
		}
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			return true
		}
		name, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(name, "csi.storage.k8s.io/") {
			names = append(names, name)
		}
		return true
	})
	if len(names) < 8 {
		t.Fatal(fmt.Sprint("found only ", names))
	}
	return names
}
