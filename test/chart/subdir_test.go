package chart_test

import (
	"os"
	"slices"
	"strings"
	"testing"
)

const subdirGuide = root + "/docs/migrate-from-nfs-subdir.md"

// subdirValues are all values of nfs-subdir-external-provisioner's chart, version 4.
var subdirValues = strings.Fields(`
	replicaCount strategyType image.repository image.tag image.pullPolicy imagePullSecrets
	nfs.server nfs.path nfs.mountOptions nfs.volumeName nfs.reclaimPolicy
	storageClass storageClass.provisionerName storageClass.defaultClass storageClass.name storageClass.allowVolumeExpansion storageClass.reclaimPolicy
	storageClass.archiveOnDelete storageClass.onDelete storageClass.pathPattern storageClass.accessModes storageClass.volumeBindingMode storageClass.annotations
	leaderElection.enabled rbac.create podSecurityPolicy.enabled podAnnotations podSecurityContext securityContext priorityClassName
	serviceAccount.create serviceAccount.annotations serviceAccount.name resources nodeSelector tolerations affinity labels
	podDisruptionBudget.enabled buildMode nameOverride fullnameOverride`)

// Every row of the guide is true, and no value is without one.
func TestValuesOfNFSSubdir(t *testing.T) {
	var known []string
	for _, r := range guideValues(t, subdirGuide) {
		known = append(known, r.path)
		base := "nfs: {server: s, share: /e}\n"
		t.Run(r.path+": "+r.value, func(t *testing.T) { r.isTrue(t, base) })
	}
	for _, path := range subdirValues {
		if !slices.Contains(known, path) {
			t.Errorf("the guide has no row for %s", path)
		}
	}
}

// The values that the guide tells to install with.
func TestGuidedInstallOfNFSSubdir(t *testing.T) {
	text, err := os.ReadFile(subdirGuide)
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "cat > values.yaml <<END\n")
	values, _, _ := strings.Cut(after, "   END\n")
	files := render(t, strings.ReplaceAll(values, "\n   ", "\n")[3:])
	controller := files["controller.yaml"]
	for _, want := range []string{"--provisioner-name=cluster.local/nfs-subdir-external-provisioner\n", "--provisioner-name=cluster.local/second=10.0.0.2:/exports/second\n", `value: "/exports/k8s"`} {
		if !strings.Contains(controller, want) {
			t.Errorf("the controller has no %q:\n%s", want, controller)
		}
	}
	if driver := files["csidriver.yaml"]; !strings.Contains(driver, "fsGroupPolicy: None\n") {
		t.Errorf("kubelet gives files to groups, which it did not with in-tree volumes:\n%s", driver)
	}
}

// A class of an old name has the export of that name, unless it speaks the driver's language.
func TestClassesWithTheExportOfTheirName(t *testing.T) {
	const names = "provisionerNames: ['cluster.local/second=10.0.0.2:/exports/second', cluster.local/third]\n"
	for class, made := range map[string]bool{
		"{name: a, provisioner: cluster.local/second}":                                           true,
		"{name: a, provisioner: cluster.local/second, parameters: {archiveOnDelete: \"false\"}}": true,
		"{name: a, provisioner: cluster.local/second, parameters: {subDir: b}}":                  false,
		"{name: a, provisioner: cluster.local/third}":                                            false,
		"{name: a, provisioner: cluster.local/sec}":                                              false,
		"{name: a}": false,
		"{name: a, provisioner: cluster.local/second, parameters: {server: s, share: /e, subDir: b}}": true,
	} {
		files := render(t, names+"storageClasses: ["+class+"]")
		if strings.Contains(files["storageclass.yaml"], "name: a") != made || strings.Contains(files["NOTES.txt"], "NOT MADE: StorageClass a") == made {
			t.Errorf("%s is made: want %t\n%s\n%s", class, made, files["storageclass.yaml"], files["NOTES.txt"])
		}
	}
	notes := render(t, names+"storageClasses: [{name: a, provisioner: cluster.local/third}]")["NOTES.txt"]
	if !strings.Contains(notes, "cluster.local/third=HOST:/EXPORT") {
		t.Errorf("nobody says how to keep the class what it is:\n%s", notes)
	}
}

// Who takes over in-tree volumes and leaves fsGroup to kubelet is told what that does to files.
func TestNotesOfFSGroup(t *testing.T) {
	for values, told := range map[string]bool{
		"provisionerNames: [a/b]":                                                    true,
		"provisionerNames: [a/b]\ndriver: {fsGroupPolicy: None}":                     false,
		"provisionerNames: [a/b]\nvolumeSource: nfs":                                 false,
		"nfs: {server: s, share: /e}":                                                false,
		"nfs: {server: s, share: /e}\nstorageClasses: [{name: a, provisioner: a/b}]": true,
	} {
		if got := strings.Contains(render(t, values)["NOTES.txt"], "driver.fsGroupPolicy=None"); got != told {
			t.Errorf("%q: told: %t", values, got)
		}
	}
}

// A file of old values is told everything at once.
func TestWholeFileOfNFSSubdir(t *testing.T) {
	_, err := tryRender(t, "nfs: {server: 10.0.0.1, path: /exports}\nreplicaCount: 2\nstorageClass: {name: fast, onDelete: retain}\n")
	if err == nil {
		t.Fatal("nothing is said")
	}
	for _, want := range []string{"docs/migrate-from-nfs-subdir.md", "- nfs.path: set nfs.share", "- replicaCount: set", "- storageClass.onDelete:", "name: fast"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said in %v", want, err)
		}
	}
}
