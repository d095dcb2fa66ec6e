package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
)

// convert makes one volume ours, or goes on with it.
func (m *Migration) convert(ctx context.Context, v Volume) error {
	if v.State == Convertible {
		if err := m.rehearse(ctx, v.new); err != nil {
			return err
		}
		if err := m.write(ctx, note{v.old, v.new}); err != nil {
			return err
		}
	}
	return m.replace(ctx, v.old, v.new)
}

// revert makes one volume what it was, and then forgets it.
func (m *Migration) revert(ctx context.Context, v Volume) error {
	if err := m.replace(ctx, v.new, v.old); err != nil {
		return err
	}
	return m.forget(ctx, v.Name)
}

// rehearse asks the API server whether it would take the volume, before the old one goes.
func (m *Migration) rehearse(ctx context.Context, pv *v1.PersistentVolume) error {
	trial := pv.DeepCopy()
	trial.Name = noteName(pv.Name)
	_, err := m.Client.CoreV1().PersistentVolumes().Create(ctx, trial, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil && !errors.IsAlreadyExists(err) {
		return fmt.Errorf("the API server would not take the new volume; nothing was changed: %w", err)
	}
	return nil
}

// replace brings the cluster from one volume to another of the same name. It looks how far it is before every step, so that it
// does not matter what an earlier try came to.
func (m *Migration) replace(ctx context.Context, from, to *v1.PersistentVolume) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, m.Wait/1000, m.Wait, true, func(ctx context.Context) (bool, error) {
		done, err := m.step(ctx, from, to)
		if errors.IsConflict(err) || errors.IsAlreadyExists(err) {
			last, err = err, nil // somebody else changed it between our look and our step
		}
		return done, err
	})
	if err != nil && wait.Interrupted(err) && last != nil {
		return fmt.Errorf("somebody else keeps changing it: %w", last)
	}
	if err != nil && wait.Interrupted(err) {
		return fmt.Errorf("it is not done after %v: see `kubectl describe pv %s`, then run it again: %w", m.Wait, to.Name, err)
	}
	return err
}

// step does the one thing that is next.
func (m *Migration) step(ctx context.Context, from, to *v1.PersistentVolume) (done bool, err error) {
	pv, err := m.Client.CoreV1().PersistentVolumes().Get(ctx, to.Name, metav1.GetOptions{})
	switch {
	case errors.IsNotFound(err):
		if _, err := m.claim(ctx, to); err != nil {
			return false, err
		}
		return false, m.create(ctx, to)
	case err != nil:
		return false, fmt.Errorf("looking at the volume: %w", err)
	case same(pv, to) && pv.DeletionTimestamp == nil:
		return m.settle(ctx, pv, to)
	case same(pv, from) || same(pv, to):
		return false, m.remove(ctx, pv)
	}
	return false, fmt.Errorf("it is neither what it was nor what it is to become: somebody else made it, so it is left alone")
}

// remove takes a volume's object away. Its directory is safe: the reclaim policy is Retain in the very version that is deleted.
func (m *Migration) remove(ctx context.Context, pv *v1.PersistentVolume) error {
	if pv.Spec.PersistentVolumeReclaimPolicy != v1.PersistentVolumeReclaimRetain {
		return m.setPolicy(ctx, pv, v1.PersistentVolumeReclaimRetain, pv.Spec.PersistentVolumeReclaimPolicy)
	}
	if pv.DeletionTimestamp == nil {
		err := m.Client.CoreV1().PersistentVolumes().Delete(ctx, pv.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &pv.UID, ResourceVersion: &pv.ResourceVersion},
		})
		if errors.IsNotFound(err) {
			return nil
		}
		return explain(err, "deleting the old object")
	}
	left := slices.DeleteFunc(slices.Clone(pv.Finalizers), func(f string) bool { return f == finalizerProtection || f == finalizerProvisioner })
	if len(left) == len(pv.Finalizers) {
		return nil // somebody else's, who has to let go
	}
	return m.patch(ctx, pv, map[string]any{"metadata": map[string]any{"finalizers": left}}, "letting the old object go")
}

// create makes a volume that keeps its directory until it is bound and all is well.
func (m *Migration) create(ctx context.Context, to *v1.PersistentVolume) error {
	pv := to.DeepCopy()
	metav1.SetMetaDataAnnotation(&pv.ObjectMeta, annReclaimPolicy, string(to.Spec.PersistentVolumeReclaimPolicy))
	pv.Spec.PersistentVolumeReclaimPolicy = v1.PersistentVolumeReclaimRetain
	_, err := m.Client.CoreV1().PersistentVolumes().Create(ctx, pv, metav1.CreateOptions{})
	return explain(err, "making the new object")
}

// settle waits until claim and volume are bound, and gives the volume its own reclaim policy.
func (m *Migration) settle(ctx context.Context, pv, to *v1.PersistentVolume) (done bool, err error) {
	claim, err := m.claim(ctx, to)
	switch {
	case err != nil:
		return false, err
	case !bound(pv, claim):
		return false, nil
	case pv.Spec.PersistentVolumeReclaimPolicy == to.Spec.PersistentVolumeReclaimPolicy && pv.Annotations[annReclaimPolicy] == "":
		return true, nil
	}
	return false, m.setPolicy(ctx, pv, to.Spec.PersistentVolumeReclaimPolicy, nil)
}

// claim is the very claim that a volume belongs to.
func (m *Migration) claim(ctx context.Context, pv *v1.PersistentVolume) (*v1.PersistentVolumeClaim, error) {
	ref := pv.Spec.ClaimRef
	claim, err := m.Client.CoreV1().PersistentVolumeClaims(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if errors.IsNotFound(err) || err == nil && claim.UID != ref.UID {
		return nil, fmt.Errorf("its claim %s/%s was deleted meanwhile: the directory stays; if PersistentVolume %s is still there, it has the reclaim policy Retain: see to both by hand",
			ref.Namespace, ref.Name, pv.Name)
	}
	return claim, explain(err, "looking at the claim")
}

// setPolicy notes beside the reclaim policy which one is to come back, nil for none.
func (m *Migration) setPolicy(ctx context.Context, pv *v1.PersistentVolume, p v1.PersistentVolumeReclaimPolicy, back any) error {
	return m.patch(ctx, pv, map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{annReclaimPolicy: back}},
		"spec":     map[string]any{"persistentVolumeReclaimPolicy": p},
	}, "setting the reclaim policy "+strconv.Quote(string(p)))
}

// patch changes the very version of a volume that was looked at.
func (m *Migration) patch(ctx context.Context, pv *v1.PersistentVolume, change map[string]any, doing string) error {
	metadata, ok := change["metadata"].(map[string]any)
	if !ok {
		metadata = map[string]any{}
		change["metadata"] = metadata
	}
	metadata["uid"], metadata["resourceVersion"] = pv.UID, pv.ResourceVersion
	data, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	_, err = m.Client.CoreV1().PersistentVolumes().Patch(ctx, pv.Name, types.MergePatchType, data, metav1.PatchOptions{})
	if errors.IsNotFound(err) {
		return nil // the next look sees it
	}
	return explain(err, doing)
}

func explain(err error, doing string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
