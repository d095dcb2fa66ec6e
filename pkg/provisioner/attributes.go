package provisioner

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// attributes are the mutable parameters that a claim asks for by a VolumeAttributesClass, nil if it names none.
func attributes(ctx context.Context, client kubernetes.Interface, driver string, claim *v1.PersistentVolumeClaim) (map[string]string, error) {
	name := claim.Spec.VolumeAttributesClassName
	if name == nil || *name == "" {
		return nil, nil
	}
	class, err := client.StorageV1().VolumeAttributesClasses().Get(ctx, *name, metav1.GetOptions{})
	switch {
	case errors.IsNotFound(err):
		return nil, wait("the claim asks for the volume attributes class %q, which does not exist", *name)
	case err != nil:
		return nil, fmt.Errorf("looking for volume attributes class %q: %w", *name, err)
	case class.DriverName != driver:
		return nil, fmt.Errorf("the claim asks for the volume attributes class %q, which is one of the driver %s, not of %s", *name, class.DriverName, driver)
	}
	return class.Parameters, nil
}
