package chart_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/nfs-csi/nfs-csi/tools/helm/chart"
)

// arguments returns the values of a flag among a container's arguments.
func arguments(c corev1.Container, flag string) []string {
	var found []string
	for _, arg := range c.Args {
		if value, ok := strings.CutPrefix(arg, flag+"="); ok {
			found = append(found, value)
		}
	}
	return found
}

func TestSelectorsMatchTheirPodsOnly(t *testing.T) {
	for _, name := range cases(t) {
		all := objects(t, values(t, name))
		controller, node := one[*appsv1.Deployment](t, all), one[*appsv1.DaemonSet](t, all)
		for _, test := range []struct {
			selector    *metav1.LabelSelector
			own, others map[string]string
		}{
			{controller.Spec.Selector, controller.Spec.Template.Labels, node.Spec.Template.Labels},
			{node.Spec.Selector, node.Spec.Template.Labels, controller.Spec.Template.Labels},
		} {
			selector, err := metav1.LabelSelectorAsSelector(test.selector)
			if err != nil {
				t.Fatal(err)
			}
			if !selector.Matches(labels.Set(test.own)) || selector.Matches(labels.Set(test.others)) {
				t.Errorf("%s: %s of %v, not %v", name, selector, test.own, test.others)
			}
		}
	}
}

// A label of one object takes the place of that of all objects, and is there once: who reads YAML strictly takes no key twice.
func TestOwnLabelsCountMore(t *testing.T) {
	own := map[string]int{}
	for name, text := range render(t, `
nfs: {server: s, share: /e}
customLabels: {team: all}
controller: {podLabels: {team: own}}
node: {podLabels: {team: own}}
storageClasses: [{name: a, labels: {team: own}}]
snapshots: {classes: [{name: a, labels: {team: own}}]}
metrics: {enabled: true, podMonitor: {enabled: true, labels: {team: own}}, rules: {enabled: true, labels: {team: own}}, dashboard: {enabled: true, labels: {team: own}}}
`) {
		if name == "NOTES.txt" {
			continue
		}
		for _, document := range chart.Documents(text) {
			var object struct {
				Kind     string
				Metadata metav1.ObjectMeta
				Spec     struct {
					Template struct{ Metadata metav1.ObjectMeta }
				}
			}
			if err := yaml.Unmarshal([]byte(document), &object); err != nil {
				t.Fatal(err)
			}
			if err := yaml.UnmarshalStrict([]byte(document), &map[string]any{}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, m := range []metav1.ObjectMeta{object.Metadata, object.Spec.Template.Metadata} {
				if m.Labels["team"] == "own" {
					own[object.Kind]++
				}
			}
		}
	}
	want := map[string]int{"Deployment": 1, "DaemonSet": 1, "StorageClass": 1, "VolumeSnapshotClass": 1, "PodMonitor": 2, "PrometheusRule": 1, "ConfigMap": 1}
	if !reflect.DeepEqual(own, want) {
		t.Errorf("own labels are on %v, want %v", own, want)
	}
}

// Names may be made of digits, or be "true": they are strings all the same, which the API server insists on.
func TestNamesThatLookLikeNumbers(t *testing.T) {
	c, err := chart.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	files, err := c.Render("2024", "2025", `
nfs: {server: s, share: /e}
driver: {name: "1", secrets: [{namespace: "2", name: "3"}]}
storageClasses: [{name: "2024", labels: {a: "1"}, annotations: {a: "true"}, parameters: {uid: "0755"}, mountOptions: ["2049"]}, {name: "true", provisioner: "4", default: true}]
snapshots: {classes: [{name: "2024", default: true, annotations: {a: "0755"}}]}
capacity: {enabled: true}
nameOverride: "9"
fullnameOverride: "2024"
imagePullSecrets: [{name: "5"}]
tls: {secretName: "6"}
serviceAccount: {controller: "7", node: "8"}
metrics: {enabled: true, podMonitor: {enabled: true}, rules: {enabled: true}, dashboard: {enabled: true}}
`)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		decode(t, name, text)
		if name == "NOTES.txt" {
			continue
		}
		for _, document := range chart.Documents(text) {
			asJSON, err := yaml.YAMLToJSON([]byte(document))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(asJSON, &struct { // what those have that are not decoded
				Metadata   metav1.ObjectMeta
				Driver     string
				Parameters map[string]string
			}{}); err != nil {
				t.Errorf("%s: %v\n%s", name, err, document)
			}
		}
	}
}

// The probes ask where the program listens, and its metrics are on the named port.
func TestProbesAskWhereTheProgramListens(t *testing.T) {
	for _, name := range cases(t) {
		all := objects(t, values(t, name))
		for _, c := range []corev1.Container{
			one[*appsv1.Deployment](t, all).Spec.Template.Spec.Containers[0],
			one[*appsv1.DaemonSet](t, all).Spec.Template.Spec.Containers[0],
		} {
			address := arguments(c, "--metrics-address")
			if len(address) != 1 {
				t.Fatalf("%s: %s has %v", name, c.Name, c.Args)
			}
			for path, probe := range map[string]*corev1.Probe{"/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
				port := probe.HTTPGet.Port.String()
				if port == "metrics" {
					port = fmt.Sprint(c.Ports[0].ContainerPort)
				}
				if !strings.HasSuffix(address[0], ":"+port) || probe.HTTPGet.Path != path {
					t.Errorf("%s: %s listens on %s, and %v is asked", name, c.Name, address[0], probe.HTTPGet)
				}
			}
		}
	}
}

// kubelet names sockets and targets by the paths of the node, so they are the same inside, and the mounts in the pods' directory are
// seen outside. No mount is inside another: with propagation it would appear on the node too.
func TestPathsOfTheNode(t *testing.T) {
	for _, dir := range []string{"/var/lib/kubelet", "/data/kubelet"} {
		pod := one[*appsv1.DaemonSet](t, objects(t, "kubeletDir: "+dir)).Spec.Template.Spec
		c := pod.Containers[0]
		hosts := map[string]string{}
		for _, v := range pod.Volumes {
			hosts[v.Name] = v.HostPath.Path
		}
		var mounts []string
		for _, m := range c.VolumeMounts {
			mounts = append(mounts, m.MountPath)
			if m.MountPath != hosts[m.Name] {
				t.Errorf("%s is %s on the node", m.MountPath, hosts[m.Name])
			}
			if propagated := m.MountPropagation != nil && *m.MountPropagation == corev1.MountPropagationBidirectional; propagated != (m.MountPath == dir+"/pods") {
				t.Errorf("%s propagates: %v", m.MountPath, propagated)
			}
		}
		want := []string{dir + "/plugins/nfs-csi.github.io", dir + "/plugins_registry", dir + "/pods"}
		if !slices.Equal(mounts, want) {
			t.Errorf("mounted are %v, want %v", mounts, want)
		}
		got := []string{arguments(c, "--endpoint")[0], arguments(c, "--registration-dir")[0], arguments(c, "--kubelet-dir")[0]}
		if want := []string{"unix://" + want[0] + "/csi.sock", want[1], dir}; !slices.Equal(got, want) {
			t.Errorf("the driver is told %v, want %v", got, want)
		}
	}
}

// Of what the controller writes, all is in a mounted directory: the root file system is read-only.
func TestTheControllersSocketIsInAMount(t *testing.T) {
	pod := one[*appsv1.Deployment](t, objects(t, "")).Spec.Template.Spec
	c := pod.Containers[0]
	socket, ok := strings.CutPrefix(arguments(c, "--endpoint")[0], "unix://")
	if !ok || len(c.VolumeMounts) != 1 || filepath.Dir(socket) != c.VolumeMounts[0].MountPath || pod.Volumes[0].EmptyDir == nil {
		t.Errorf("endpoint %q, mounts %v, volumes %v", socket, c.VolumeMounts, pod.Volumes)
	}
}

func TestCSIDriver(t *testing.T) {
	no, policy := false, storagev1.FileFSGroupPolicy
	want := storagev1.CSIDriverSpec{
		AttachRequired: &no, PodInfoOnMount: &no, RequiresRepublish: &no, StorageCapacity: &no, FSGroupPolicy: &policy,
		VolumeLifecycleModes: []storagev1.VolumeLifecycleMode{storagev1.VolumeLifecyclePersistent},
	}
	all := objects(t, "driver: {name: nfs.example.com}")
	driver := one[*storagev1.CSIDriver](t, all)
	if !reflect.DeepEqual(driver.Spec, want) || driver.Name != "nfs.example.com" {
		t.Errorf("%s: %+v", driver.Name, driver.Spec)
	}
	for _, c := range []corev1.Container{
		one[*appsv1.Deployment](t, all).Spec.Template.Spec.Containers[0],
		one[*appsv1.DaemonSet](t, all).Spec.Template.Spec.Containers[0],
	} {
		if got := arguments(c, "--driver-name"); !slices.Equal(got, []string{driver.Name}) {
			t.Errorf("%s is told the name %v", c.Name, got)
		}
	}
}

// Pods may name volumes themselves only where the values list exports, and then the node can tell them from those of claims.
func TestInlineVolumes(t *testing.T) {
	all := objects(t, `inlineVolumes: {servers: ["nas.example.com:/home", "10.0.0.9"]}`)
	driver := one[*storagev1.CSIDriver](t, all)
	want := []storagev1.VolumeLifecycleMode{storagev1.VolumeLifecyclePersistent, storagev1.VolumeLifecycleEphemeral}
	if !*driver.Spec.PodInfoOnMount || !slices.Equal(driver.Spec.VolumeLifecycleModes, want) {
		t.Errorf("podInfoOnMount %v, modes %v", *driver.Spec.PodInfoOnMount, driver.Spec.VolumeLifecycleModes)
	}
	got := arguments(one[*appsv1.DaemonSet](t, all).Spec.Template.Spec.Containers[0], "--inline-servers")
	if want := []string{"nas.example.com:/home", "10.0.0.9"}; !slices.Equal(got, want) {
		t.Errorf("the node may mount %v, want %v", got, want)
	}
	if got := arguments(one[*appsv1.DaemonSet](t, objects(t, "")).Spec.Template.Spec.Containers[0], "--inline-servers"); len(got) > 0 {
		t.Errorf("by default pods may mount %v", got)
	}
}

// What the values switch on and off reaches the program and the scheduler.
func TestServices(t *testing.T) {
	for values, want := range map[string]struct{ resizer, snapshotter, capacity []string }{
		"":                            {[]string{"auto"}, []string{"auto"}, nil},
		"resizing: {enabled: false}":  {[]string{"off"}, []string{"auto"}, nil},
		"snapshots: {enabled: false}": {[]string{"auto"}, []string{"off"}, nil},
		"capacity: {enabled: true}":   {[]string{"auto"}, []string{"auto"}, []string{"storage-system/my-nfs-csi-controller"}},
	} {
		all := objects(t, values)
		c := one[*appsv1.Deployment](t, all).Spec.Template.Spec.Containers[0]
		for flag, want := range map[string][]string{"--resizer": want.resizer, "--snapshotter": want.snapshotter, "--storage-capacity": want.capacity} {
			if got := arguments(c, flag); !slices.Equal(got, want) {
				t.Errorf("%q: %s is %v, want %v", values, flag, got, want)
			}
		}
		if told := *one[*storagev1.CSIDriver](t, all).Spec.StorageCapacity; told != (want.capacity != nil) {
			t.Errorf("%q: the scheduler looks for capacity: %t", values, told)
		}
	}
}

// TestTLS: both pods get the files of the Secret, and are told of those that it has.
func TestImage(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0a", 32)
	for values, want := range map[string]string{
		"image: {repository: example.com:5000/a, tag: '1'}":                         "example.com:5000/a:1",
		"image: {repository: example.com:5000/a, tag: '1', digest: " + digest + "}": "example.com:5000/a:1@" + digest,
	} {
		pods := 0
		for name, text := range render(t, values) {
			for line := range strings.Lines(text) {
				if image, ok := strings.CutPrefix(strings.TrimLeft(strings.TrimSpace(line), "- "), "image: "); ok {
					pods++
					if strings.Trim(image, `"`) != want {
						t.Errorf("%s runs %s, want %s", name, image, want)
					}
				}
			}
		}
		if pods != 2 { // controller and node; the check is off
			t.Errorf("%d pods have an image", pods)
		}
	}
}

func TestTLS(t *testing.T) {
	for values, want := range map[string][]string{
		"{}":                                   nil,
		"tls: {secretName: nfs}":               {"--tls-ca=/tls/ca.crt"},
		"tls: {secretName: nfs, mutual: true}": {"--tls-ca=/tls/ca.crt", "--tls-cert=/tls/tls.crt", "--tls-key=/tls/tls.key"},
	} {
		all := objects(t, values)
		for _, pod := range []corev1.PodSpec{one[*appsv1.Deployment](t, all).Spec.Template.Spec, one[*appsv1.DaemonSet](t, all).Spec.Template.Spec} {
			c := pod.Containers[0]
			told := slices.DeleteFunc(slices.Clone(c.Args), func(a string) bool { return !strings.HasPrefix(a, "--tls-") })
			if !slices.Equal(told, want) {
				t.Errorf("%q: %s is told %q", values, c.Name, told)
			}
			mounted := slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "tls" && m.MountPath == "/tls" && m.ReadOnly })
			given := slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == "tls" && v.Secret != nil && v.Secret.SecretName == "nfs" })
			if mounted != (want != nil) || given != (want != nil) {
				t.Errorf("%q: %s: mounted %t, given %t", values, c.Name, mounted, given)
			}
		}
	}
}

func TestVolumeSnapshotClasses(t *testing.T) {
	if text := render(t, "")["volumesnapshotclass.yaml"]; strings.TrimSpace(text) != "" {
		t.Errorf("without being asked for: %s", text)
	}
	type snapshotClass struct {
		Kind, Driver, DeletionPolicy string
		Metadata                     metav1.ObjectMeta
		Parameters                   map[string]string
	}
	text := render(t, "snapshots: {classes: [{name: a, default: true, parameters: {mountOptions: vers=4.1}}, {name: b, deletionPolicy: Retain}]}")["volumesnapshotclass.yaml"]
	var got []snapshotClass
	for _, document := range chart.Documents(text) {
		var c snapshotClass
		if err := yaml.UnmarshalStrict([]byte(strings.Replace(document, "apiVersion: snapshot.storage.k8s.io/v1\n", "", 1)), &c); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		got = append(got, c)
	}
	if len(got) != 2 || got[0].Driver != "nfs-csi.github.io" || got[0].DeletionPolicy != "Delete" || got[0].Parameters["mountOptions"] != "vers=4.1" ||
		got[0].Metadata.Annotations["snapshot.storage.kubernetes.io/is-default-class"] != "true" || got[1].DeletionPolicy != "Retain" || len(got[1].Metadata.Annotations) != 0 {
		t.Errorf("classes are %+v", got)
	}
}

func TestVolumesMayGrow(t *testing.T) {
	for values, want := range map[string]bool{"": true, ", allowVolumeExpansion: true": true, ", allowVolumeExpansion: false": false} {
		class := one[*storagev1.StorageClass](t, objects(t, "nfs: {server: a, share: /b}\nstorageClasses: [{name: x"+values+"}]"))
		if *class.AllowVolumeExpansion != want {
			t.Errorf("%q: volumes may grow: %t", values, *class.AllowVolumeExpansion)
		}
	}
}

// The controller answers to every name that a class of the release has, each once, beside its own.
func TestProvisionerNames(t *testing.T) {
	all := objects(t, values(t, "classes"))
	c := one[*appsv1.Deployment](t, all).Spec.Template.Spec.Containers[0]
	if got, want := arguments(c, "--provisioner-name"), []string{"cluster.local/old", "gxf-nfs-storage"}; !slices.Equal(got, want) {
		t.Errorf("names %v, want %v", got, want)
	}
	known := append(arguments(c, "--provisioner-name"), arguments(c, "--driver-name")...)
	for _, class := range only[*storagev1.StorageClass](all) {
		if !slices.Contains(known, class.Provisioner) {
			t.Errorf("nobody answers to %s of class %s", class.Provisioner, class.Name)
		}
	}
}

func TestClassesThatNameNoExportAreLeftOut(t *testing.T) {
	for values, want := range map[string][]string{
		"":                            nil,
		"nfs: {server: a, share: /b}": {"nfs"},
		"storageClasses: [{name: x, parameters: {server: a, share: /b}}, {name: z}]":             {"x"},
		"nfs: {server: c, share: /b}\nstorageClasses: [{name: x, parameters: {server: a}}]":      {"x"},
		"nfs: {server: a, share: /b}\nstorageClasses: [{name: x, create: false}, {name: z}]":     {"z"},
		"storageClasses: [{name: x, parameters: {server: a, share: /b}, create: false}]":         nil,
		"nfs: {server: a, share: /b}\nstorageClasses: []":                                        nil,
		"storageClasses: [{name: x, parameters: {server: a, share: /b}}]\nnfs: {server: \"\"}\n": {"x"},
	} {
		var got []string
		for _, class := range only[*storagev1.StorageClass](objects(t, values)) {
			got = append(got, class.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q makes %v, want %v", values, got, want)
		}
	}
	if notes := render(t, "")["NOTES.txt"]; !strings.Contains(notes, "NOT MADE: StorageClass nfs") {
		t.Errorf("the notes do not say what is missing:\n%s", notes)
	}
}

func TestADrainNeverTakesBothControllers(t *testing.T) {
	for replicas, want := range map[int]int{0: 0, 1: 0, 2: 1, 3: 1} {
		if got := len(only[*policyv1.PodDisruptionBudget](objects(t, fmt.Sprintf("controller: {replicas: %d}", replicas)))); got != want {
			t.Errorf("%d replicas have %d budgets, want %d", replicas, got, want)
		}
	}
}

// However long the release's name is, the names made from it are valid.
func TestLongNames(t *testing.T) {
	all := objects(t, "fullnameOverride: "+strings.Repeat("n", 50))
	for _, name := range []string{one[*appsv1.Deployment](t, all).Name, one[*appsv1.DaemonSet](t, all).Name} {
		if errs := validation.IsDNS1123Label(name); len(errs) > 0 {
			t.Errorf("%s: %v", name, errs)
		}
	}
}

// The chart, the program and the README give the driver one name.
func TestTheDriversNameIsTheProgramsDefault(t *testing.T) {
	name := one[*storagev1.CSIDriver](t, objects(t, "")).Name
	for file, want := range map[string]string{
		"cmd/nfs-csi/run.go": fmt.Sprintf("defaultDriverName = %q", name),
		"README.md":          "provisioner: " + name,
	} {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), want) {
			t.Errorf("%s has no %s", file, want)
		}
	}
}

// The program understands what it is told: its own flags, parsed by itself.
func TestTheProgramKnowsItsArguments(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "nfs-csi")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/nfs-csi")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"default", "classes", "hostnetwork", "capacity"} {
		all := objects(t, values(t, name))
		for _, c := range []corev1.Container{
			one[*appsv1.Deployment](t, all).Spec.Template.Spec.Containers[0],
			one[*appsv1.DaemonSet](t, all).Spec.Template.Spec.Containers[0],
		} {
			// Flags are parsed before help is given, and an unknown one or a bad value is an error.
			out, err := exec.CommandContext(t.Context(), binary, append(slices.Clone(c.Args), "--help")...).CombinedOutput()
			if err != nil {
				t.Errorf("%s: %s %v: %v\n%s", name, c.Name, c.Args, err, out)
			}
		}
	}
}
