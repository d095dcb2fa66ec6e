package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
)

const (
	mountPath   = "/mnt"
	primePrefix = "prime-" // and the UID of the claim to be filled: the name of the second claim and of its pod
)

// A populator makes for each claim with a Hello as its source a second claim without one (the prime), in its own namespace. A pod
// writes the Hello's file into the prime's volume, which is then handed to the first claim. The binding mode of the class does not
// matter: whoever waits for a consumer has one in that pod, and the volumes of this driver can be reached from every node.
type populator struct {
	client    kubernetes.Interface
	objects   dynamic.Interface
	namespace string // of primes and pods
	image     string
	log       *slog.Logger
}

// look takes each claim as far as it goes now, and then removes what is no longer needed.
func (p *populator) look(ctx context.Context) error {
	claims, err := p.client.CoreV1().PersistentVolumeClaims("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing claims: %w", err)
	}
	var errs []error
	waiting := map[string]bool{}
	for i := range claims.Items {
		claim := &claims.Items[i]
		if !fromHello(claim) || claim.DeletionTimestamp != nil || claim.Status.Phase != v1.ClaimPending {
			continue
		}
		waiting[primeName(claim)] = true
		if err := p.fill(ctx, claim); err != nil {
			errs = append(errs, fmt.Errorf("filling claim %s/%s: %w", claim.Namespace, claim.Name, err))
		}
	}
	for _, claim := range claims.Items {
		if claim.Namespace == p.namespace && strings.HasPrefix(claim.Name, primePrefix) && !waiting[claim.Name] {
			errs = append(errs, p.remove(ctx, claim.Name))
		}
	}
	return errors.Join(errs...)
}

func fromHello(claim *v1.PersistentVolumeClaim) bool {
	ref := claim.Spec.DataSourceRef
	return ref != nil && ref.Kind == "Hello" && ref.APIGroup != nil && *ref.APIGroup == helloKind().Group &&
		(ref.Namespace == nil || *ref.Namespace == claim.Namespace)
}

func primeName(claim *v1.PersistentVolumeClaim) string { return primePrefix + string(claim.UID) }

// fill takes the next steps for a claim that is not bound; nil may also mean that it must be looked at again.
func (p *populator) fill(ctx context.Context, claim *v1.PersistentVolumeClaim) error {
	source, err := p.objects.Resource(helloKind()).Namespace(claim.Namespace).Get(ctx, claim.Spec.DataSourceRef.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("looking for its Hello: %w", err)
	}
	prime, err := p.prime(ctx, claim)
	if err != nil {
		return fmt.Errorf("making the claim %s: %w", primeName(claim), err)
	}
	pod, err := p.pod(ctx, prime.Name, source)
	if err != nil {
		return fmt.Errorf("making the pod %s: %w", prime.Name, err)
	}
	if pod.Status.Phase != v1.PodSucceeded {
		return nil
	}
	return p.hand(ctx, prime, claim)
}

// prime is a claim like the given one, without its source.
func (p *populator) prime(ctx context.Context, claim *v1.PersistentVolumeClaim) (*v1.PersistentVolumeClaim, error) {
	claims := p.client.CoreV1().PersistentVolumeClaims(p.namespace)
	prime, err := claims.Get(ctx, primeName(claim), metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return prime, err
	}
	spec := *claim.Spec.DeepCopy()
	spec.DataSource, spec.DataSourceRef, spec.VolumeName = nil, nil, ""
	p.log.Info("making a claim to be filled", "prime", primeName(claim), "namespace", claim.Namespace, "claim", claim.Name)
	return claims.Create(ctx, &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: primeName(claim)}, Spec: spec}, metav1.CreateOptions{})
}

// pod is the one that writes what source says into the claim of its own name.
func (p *populator) pod(ctx context.Context, name string, source *unstructured.Unstructured) (*v1.Pod, error) {
	pods := p.client.CoreV1().Pods(p.namespace)
	pod, err := pods.Get(ctx, name, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return pod, err
	}
	file, _, fileErr := unstructured.NestedString(source.Object, "spec", "fileName")
	contents, _, contentsErr := unstructured.NestedString(source.Object, "spec", "fileContents")
	if err := errors.Join(fileErr, contentsErr); err != nil {
		return nil, err
	}
	return pods.Create(ctx, &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1.PodSpec{
			RestartPolicy: v1.RestartPolicyOnFailure,
			Containers: []v1.Container{{
				Name:            "populate",
				Image:           p.image,
				ImagePullPolicy: v1.PullIfNotPresent,
				Args:            []string{"--mode=populate", "--file-name=" + file, "--file-contents=" + contents},
				VolumeMounts:    []v1.VolumeMount{{Name: "target", MountPath: mountPath}},
			}},
			Volumes: []v1.Volume{{Name: "target", VolumeSource: v1.VolumeSource{
				PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: name}}}},
		},
	}, metav1.CreateOptions{})
}

// populate writes one file that may not lie outside of dir.
func populate(dir, name, contents string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("opening the volume: %w", err)
	}
	defer root.Close()
	if err := root.WriteFile(name, []byte(contents), 0o644); err != nil {
		return fmt.Errorf("writing the file: %w", err)
	}
	return nil
}

// hand makes the prime's volume the claim's, by the volume's claimRef; Kubernetes then binds the claim. Only a volume that is the
// prime's, and has not changed since, is handed on.
func (p *populator) hand(ctx context.Context, prime, claim *v1.PersistentVolumeClaim) error {
	volumes := p.client.CoreV1().PersistentVolumes()
	volume, err := volumes.Get(ctx, prime.Spec.VolumeName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("looking for the volume of %s: %w", prime.Name, err)
	}
	ref := volume.Spec.ClaimRef
	switch {
	case ref != nil && ref.UID == claim.UID:
		return nil // not bound yet
	case ref == nil || ref.UID != prime.UID:
		return fmt.Errorf("volume %s is not the one of %s", volume.Name, prime.Name)
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": volume.ResourceVersion},
		"spec": map[string]any{"claimRef": map[string]any{
			"namespace": claim.Namespace, "name": claim.Name, "uid": claim.UID, "resourceVersion": claim.ResourceVersion}},
	})
	if err != nil {
		return err
	}
	if _, err := volumes.Patch(ctx, volume.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("handing on volume %s: %w", volume.Name, err)
	}
	p.log.Info("handed the volume on", "volume", volume.Name, "namespace", claim.Namespace, "claim", claim.Name)
	return nil
}

// remove deletes a pod and then its claim. The volume stays if it was handed on, and goes by its reclaim policy if it was not.
func (p *populator) remove(ctx context.Context, name string) error {
	if err := p.client.CoreV1().Pods(p.namespace).Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("removing the pod %s: %w", name, err)
	}
	if err := p.client.CoreV1().PersistentVolumeClaims(p.namespace).Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("removing the claim %s: %w", name, err)
	}
	p.log.Info("removed a claim that was filled, or is not wanted any more", "prime", name)
	return nil
}
