package provisioner

import (
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// Secrets are those that this driver may read, because classes of csi-driver-nfs name them; none by default. Nobody who makes
// a class, a volume or a snapshot can lead it to another one.
type Secrets []types.NamespacedName

// ParseSecrets reads NAMESPACE/NAME, one each.
func ParseSecrets(texts []string) (Secrets, error) {
	var s Secrets
	for _, text := range texts {
		namespace, name, ok := strings.Cut(text, "/")
		if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
			return nil, fmt.Errorf("secret %q: name it as NAMESPACE/NAME", text)
		}
		s = append(s, types.NamespacedName{Namespace: namespace, Name: name})
	}
	return s, nil
}

func (s Secrets) given(name types.NamespacedName) bool { return slices.Contains(s, name) }

// mountOptions is what the secret says under [SecretMountOptions], in any case, and nothing else of it.
func (s Secrets) mountOptions(ctx context.Context, client kubernetes.Interface, name types.NamespacedName) (string, error) {
	secret, err := client.CoreV1().Secrets(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("reading mount options: %w", err)
	}
	for key, value := range secret.Data {
		if strings.EqualFold(key, SecretMountOptions) {
			return string(value), nil
		}
	}
	return "", nil
}

// The annotations in which external-provisioner keeps the secret of a volume's class.
const (
	deletionSecretName      = "volume.kubernetes.io/provisioner-deletion-secret-name"
	deletionSecretNamespace = "volume.kubernetes.io/provisioner-deletion-secret-namespace"
)

// deletionOptions are how to reach the share of a volume: its mount options, and then those of the secret of a volume of
// csi-driver-nfs. A secret that we are not given mostly says the same once more, so it is missed only when deleting fails:
// the hint is what to say then.
func (p *provisioner) deletionOptions(ctx context.Context, pv *v1.PersistentVolume) (options []string, hint string, err error) {
	options = pv.Spec.MountOptions
	secret := types.NamespacedName{Namespace: pv.Annotations[deletionSecretNamespace], Name: pv.Annotations[deletionSecretName]}
	switch {
	case secret.Name == "" || secret.Namespace == "":
		return options, "", nil
	case !p.secrets.given(secret):
		return options, fmt.Sprintf("; mount options may also be in Secret %s, which this driver is not given: see the chart's value driver.secrets", secret), nil
	}
	more, err := p.secrets.mountOptions(ctx, p.client, secret)
	if more != "" {
		options = append(slices.Clone(options), more)
	}
	return options, "", err
}

// Client is one for libraries that read the secrets which classes name: it shows those that are given, and of them the mount
// options, and takes the others for empty without asking for them.
func (s Secrets) Client(client kubernetes.Interface) kubernetes.Interface {
	return secretClient{client, s}
}

type secretClient struct {
	kubernetes.Interface
	secrets Secrets
}

func (c secretClient) CoreV1() corev1.CoreV1Interface {
	return secretCore{CoreV1Interface: c.Interface.CoreV1(), client: c}
}

type secretCore struct {
	corev1.CoreV1Interface
	client secretClient
}

func (c secretCore) Secrets(namespace string) corev1.SecretInterface {
	return givenSecrets{SecretInterface: c.CoreV1Interface.Secrets(namespace), client: c.client, namespace: namespace}
}

type givenSecrets struct {
	corev1.SecretInterface
	client    secretClient
	namespace string
}

// Get is that of [corev1.SecretInterface].
func (g givenSecrets) Get(ctx context.Context, name string, _ metav1.GetOptions) (*v1.Secret, error) {
	shown := &v1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: g.namespace, Name: name}}
	asked := types.NamespacedName{Namespace: g.namespace, Name: name}
	if !g.client.secrets.given(asked) {
		return shown, nil
	}
	options, err := g.client.secrets.mountOptions(ctx, g.client.Interface, asked)
	if err != nil {
		return nil, err
	}
	if options != "" {
		shown.Data = map[string][]byte{SecretMountOptions: []byte(options)}
	}
	return shown, nil
}
