package main

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/fake"
)

func TestUnknownKindsAreWarnedOfOnce(t *testing.T) {
	bound, plain := newClaim("bound", "example.com", "Backup"), newClaim("plain", "", "")
	bound.Status.Phase = v1.ClaimBound
	plain.Spec.DataSourceRef = nil
	client := fake.NewClientset(bound, plain,
		newClaim("unknown", "example.com", "Backup"), newClaim("group", "example.com", "VolumeSnapshot"),
		newClaim("hello", "hello.example.com", "Hello"), newClaim("clone", "", "PersistentVolumeClaim"), newClaim("restore", "snapshot.storage.k8s.io", "VolumeSnapshot"))
	v := &validator{client: client, log: slog.New(slog.DiscardHandler), objects: newObjects(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "populator.storage.k8s.io/v1beta1", "kind": "VolumePopulator",
		"metadata":   map[string]any{"name": "hello"},
		"sourceKind": map[string]any{"group": "hello.example.com", "kind": "Hello"},
	}})}
	for range 2 {
		if err := v.look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	events, err := client.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range events.Items {
		names = append(names, e.InvolvedObject.Name)
		if e.Type != v1.EventTypeWarning || e.InvolvedObject.UID == "" || !strings.Contains(e.Message, "install the populator") {
			t.Errorf("event is %+v", e)
		}
	}
	slices.Sort(names)
	if want := []string{"group", "unknown"}; !slices.Equal(names, want) {
		t.Errorf("warned of %q, want %q", names, want)
	}
}
