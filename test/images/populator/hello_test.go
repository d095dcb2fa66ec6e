package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
)

const prime = "prime-uid-data"

func newClaim(name, group, kind string) *v1.PersistentVolumeClaim {
	class := "nfs"
	return &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name)},
		Spec: v1.PersistentVolumeClaimSpec{
			AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteMany},
			Resources: v1.VolumeResourceRequirements{Requests: v1.ResourceList{
				v1.ResourceStorage: resource.MustParse("1Mi")}},
			StorageClassName: &class,
			DataSourceRef:    &v1.TypedObjectReference{APIGroup: &group, Kind: kind, Name: "example"},
		},
		Status: v1.PersistentVolumeClaimStatus{Phase: v1.ClaimPending},
	}
}

func newObjects(objects ...runtime.Object) *dynamicfake.FakeDynamicClient {
	return dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		helloKind(): "HelloList", populatorKind(): "VolumePopulatorList"}, objects...)
}

func newHello() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "hello.example.com/v1alpha1", "kind": "Hello",
		"metadata": map[string]any{"namespace": "default", "name": "example"},
		"spec":     map[string]any{"fileName": "a.txt", "fileContents": "Hello from here"},
	}}
}

// A world is an API server without controllers: what they do, the test does.
type world struct {
	*testing.T
	*populator
}

func newWorld(t *testing.T, claims ...runtime.Object) world {
	return world{t, &populator{client: fake.NewClientset(claims...), objects: newObjects(newHello()),
		namespace: "hello", image: "registry/image:1", log: slog.New(slog.DiscardHandler)}}
}

func (w world) looks() {
	w.Helper()
	if err := w.look(w.Context()); err != nil {
		w.Fatal(err)
	}
}

// bound gives the claim a volume, as a provisioner does.
func (w world) bound(namespace, name, volume string) {
	w.Helper()
	claim := w.claim(namespace, name)
	if claim == nil {
		w.Fatalf("no claim %s/%s", namespace, name)
	}
	claim.UID = types.UID("uid-" + name)
	claim.Spec.VolumeName, claim.Status.Phase = volume, v1.ClaimBound
	if _, err := w.client.CoreV1().PersistentVolumeClaims(namespace).Update(w.Context(), claim, metav1.UpdateOptions{}); err != nil {
		w.Fatal(err)
	}
}

func (w world) makesVolume(owner types.UID) {
	w.Helper()
	if _, err := w.client.CoreV1().PersistentVolumes().Create(w.Context(), &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pv"},
		Spec:       v1.PersistentVolumeSpec{ClaimRef: &v1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: "hello", Name: prime, UID: owner}},
	}, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
}

func (w world) podEnds() {
	w.Helper()
	pod := w.podOf(prime)
	if pod == nil {
		w.Fatal("no pod")
	}
	pod.Status.Phase = v1.PodSucceeded
	if _, err := w.client.CoreV1().Pods("hello").UpdateStatus(w.Context(), pod, metav1.UpdateOptions{}); err != nil {
		w.Fatal(err)
	}
}

func (w world) claim(namespace, name string) *v1.PersistentVolumeClaim {
	w.Helper()
	claim, err := w.client.CoreV1().PersistentVolumeClaims(namespace).Get(w.Context(), name, metav1.GetOptions{})
	return found(w.T, claim, err)
}

func (w world) podOf(name string) *v1.Pod {
	w.Helper()
	pod, err := w.client.CoreV1().Pods("hello").Get(w.Context(), name, metav1.GetOptions{})
	return found(w.T, pod, err)
}

func (w world) owner() *v1.ObjectReference {
	w.Helper()
	volume, err := w.client.CoreV1().PersistentVolumes().Get(w.Context(), "pv", metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return volume.Spec.ClaimRef
}

// found is nil for what is not there.
func found[T any](t *testing.T, object *T, err error) *T {
	t.Helper()
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		t.Fatal(err)
	}
	return object
}

func TestClaimIsFilled(t *testing.T) {
	w := newWorld(t, newClaim("data", "hello.example.com", "Hello"))
	w.looks()
	second := w.claim("hello", prime)
	if second == nil || second.Spec.DataSource != nil || second.Spec.DataSourceRef != nil || *second.Spec.StorageClassName != "nfs" ||
		second.Spec.Resources.Requests.Storage().String() != "1Mi" || !slices.Equal(second.Spec.AccessModes, []v1.PersistentVolumeAccessMode{v1.ReadWriteMany}) {
		t.Fatalf("second claim is %+v", second)
	}
	pod := w.podOf(prime)
	if pod == nil || pod.Spec.Volumes[0].PersistentVolumeClaim.ClaimName != prime || pod.Spec.Containers[0].Image != "registry/image:1" {
		t.Fatalf("pod is %+v", pod)
	}
	if args := pod.Spec.Containers[0].Args; !slices.Equal(args, []string{"--mode=populate", "--file-name=a.txt", "--file-contents=Hello from here"}) {
		t.Errorf("arguments are %q", args)
	}

	w.makesVolume("uid-" + prime)
	w.bound("hello", prime, "pv")
	w.looks()
	if owner := w.owner(); owner.Name != prime {
		t.Fatalf("the volume was handed to %v before its file was written", owner)
	}

	w.podEnds()
	w.looks()
	w.looks() // nothing to do until Kubernetes has bound the claim
	if owner := w.owner(); owner.Namespace != "default" || owner.Name != "data" || owner.UID != "uid-data" || owner.Kind != "PersistentVolumeClaim" {
		t.Fatalf("the volume was handed to %v", owner)
	}
	if w.claim("hello", prime) == nil {
		t.Fatal("the second claim went before the first was bound")
	}

	w.bound("default", "data", "pv")
	w.looks()
	if w.claim("hello", prime) != nil || w.podOf(prime) != nil {
		t.Error("the second claim or its pod is still there")
	}
	if w.claim("default", "data") == nil {
		t.Error("the first claim is gone")
	}
}

func TestOnlyClaimsFromAHelloAreFilled(t *testing.T) {
	elsewhere, plain := newClaim("elsewhere", "hello.example.com", "Hello"), newClaim("plain", "", "")
	namespace := "other"
	elsewhere.Spec.DataSourceRef.Namespace = &namespace
	plain.Spec.DataSourceRef = nil
	w := newWorld(t, elsewhere, plain, newClaim("kind", "hello.example.com", "Other"), newClaim("group", "example.com", "Hello"))
	w.looks()
	claims, err := w.client.CoreV1().PersistentVolumeClaims("hello").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(claims.Items) > 0 {
		t.Errorf("claims %v, %v", claims.Items, err)
	}
}

func TestVolumeOfSomebodyElseIsNotHandedOn(t *testing.T) {
	w := newWorld(t, newClaim("data", "hello.example.com", "Hello"))
	w.looks()
	w.makesVolume("uid-stranger")
	w.bound("hello", prime, "pv")
	w.podEnds()
	if err := w.look(t.Context()); err == nil || !strings.Contains(err.Error(), "volume pv is not the one of "+prime) {
		t.Errorf("error is %v", err)
	}
	if owner := w.owner(); owner.UID != "uid-stranger" {
		t.Errorf("the volume was handed to %v", owner)
	}
}

func TestNothingIsLeftOfADeletedClaim(t *testing.T) {
	w := newWorld(t, newClaim("data", "hello.example.com", "Hello"))
	w.looks()
	if err := w.client.CoreV1().PersistentVolumeClaims("default").Delete(t.Context(), "data", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.looks()
	if w.claim("hello", prime) != nil || w.podOf(prime) != nil {
		t.Error("the second claim or its pod is still there")
	}
}

func TestPopulateStaysInTheVolume(t *testing.T) {
	dir := t.TempDir()
	volume := filepath.Join(dir, "volume")
	if err := os.Mkdir(volume, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := populate(volume, "a.txt", "Hello"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(volume, "a.txt")); err != nil || string(got) != "Hello" {
		t.Errorf("read %q, %v", got, err)
	}
	for _, name := range []string{"../b.txt", filepath.Join(dir, "b.txt"), ""} {
		if err := populate(volume, name, "Hello"); err == nil {
			t.Errorf("wrote %q", name)
		}
	}
}
