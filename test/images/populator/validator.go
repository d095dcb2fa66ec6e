package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
)

// A validator writes an Event on each unbound claim whose source is of a kind that nobody has announced with a VolumePopulator.
type validator struct {
	client  kubernetes.Interface
	objects dynamic.Interface
	log     *slog.Logger
}

// look warns of every such claim, once in the life of an Event.
func (v *validator) look(ctx context.Context) error {
	known, err := v.known(ctx)
	if err != nil {
		return err
	}
	claims, err := v.client.CoreV1().PersistentVolumeClaims("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing claims: %w", err)
	}
	var errs []error
	for i := range claims.Items {
		claim := &claims.Items[i]
		if ref := claim.Spec.DataSourceRef; ref != nil && claim.Status.Phase == v1.ClaimPending && !known[kindOf(ref)] {
			errs = append(errs, v.warn(ctx, claim))
		}
	}
	return errors.Join(errs...)
}

// known are the kinds of CSI drivers and those of the cluster's populators.
func (v *validator) known(ctx context.Context) (map[schema.GroupKind]bool, error) {
	known := map[schema.GroupKind]bool{
		{Kind: "PersistentVolumeClaim"}:                            true,
		{Group: "snapshot.storage.k8s.io", Kind: "VolumeSnapshot"}: true,
	}
	populators, err := v.objects.Resource(populatorKind()).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing VolumePopulators: %w", err)
	}
	for _, populator := range populators.Items {
		source, _, err := unstructured.NestedStringMap(populator.Object, "sourceKind")
		if err != nil {
			return nil, fmt.Errorf("reading VolumePopulator %q: %w", populator.GetName(), err)
		}
		known[schema.GroupKind{Group: source["group"], Kind: source["kind"]}] = true
	}
	return known, nil
}

func kindOf(ref *v1.TypedObjectReference) schema.GroupKind {
	kind := schema.GroupKind{Kind: ref.Kind}
	if ref.APIGroup != nil {
		kind.Group = *ref.APIGroup
	}
	return kind
}

// warn writes the Event, whose name is the claim's UID: while it lives there is no second one.
func (v *validator) warn(ctx context.Context, claim *v1.PersistentVolumeClaim) error {
	now := metav1.Now()
	message := fmt.Sprintf("The claim is to be filled from %s %q, and no VolumePopulator is there for this kind: correct spec.dataSourceRef, or install the populator",
		kindOf(claim.Spec.DataSourceRef), claim.Spec.DataSourceRef.Name)
	_, err := v.client.CoreV1().Events(claim.Namespace).Create(ctx, &v1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: "unknown-data-source." + string(claim.UID)},
		InvolvedObject: v1.ObjectReference{
			APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
		Type: v1.EventTypeWarning, Reason: "UnknownDataSourceKind", Message: message,
		Source: v1.EventSource{Component: "volume-data-source-validator"}, Count: 1, FirstTimestamp: now, LastTimestamp: now,
	}, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err):
		return nil
	case err != nil:
		return fmt.Errorf("warning of claim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	v.log.Warn("the source of a claim is of no known kind", "namespace", claim.Namespace, "claim", claim.Name)
	return nil
}
