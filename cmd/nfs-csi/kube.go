package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/nfs-csi/nfs-csi/pkg/provisioner"
)

const (
	// Saving a volume takes one request and two Events, so this is a hundred claims a second after a burst of two
	// hundred. The API server shares itself out fairly among its clients (API Priority and Fairness).
	apiQPS, apiBurst = 300, 600
	// electionTimeout lets two renewals be tried before the renewal deadline of 10 s.
	electionTimeout = 5 * time.Second
)

var errNoCluster = errors.New("this is no pod of a cluster: name one with --kubeconfig, or serve CSI alone with --csi-only")

// restConfig is that of a kubeconfig file, or of the pod that we are.
func restConfig(kubeconfig string) (*rest.Config, error) {
	var config *rest.Config
	var err error
	if kubeconfig == "" {
		config, err = rest.InClusterConfig()
	} else {
		config, err = clientcmd.BuildConfigFromFlags("", kubeconfig)
	}
	switch {
	case errors.Is(err, rest.ErrNotInCluster):
		return nil, errNoCluster
	case err != nil:
		return nil, fmt.Errorf("reading how to reach the API server: %w", err)
	}
	return ours(config), nil
}

// ours is a way to the API server as all of our clients use it.
func ours(config *rest.Config) *rest.Config {
	config.UserAgent = "nfs-csi/" + version
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	config.QPS, config.Burst = apiQPS, apiBurst
	return config
}

// election is run with a client of its own, so that no renewal waits behind other calls.
func election(config *rest.Config, driverName, namespace string, also []string) (*provisioner.Election, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst, config.Timeout = 5, 10, electionTimeout
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making the client of the election: %w", err)
	}
	name, err := podName()
	if err != nil {
		return nil, err
	}
	return &provisioner.Election{Client: client, Namespace: namespace, Lease: provisioner.LeaseName(driverName), Also: also, Identity: name + "_" + rand.Text()}, nil
}

func podName() (string, error) {
	if name := os.Getenv("POD_NAME"); name != "" {
		return name, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("looking for a name to be elected by: %w", err)
	}
	return name, nil
}

// podNamespace is that of the pod that we are, empty if we are none.
func podNamespace() string {
	if namespace := os.Getenv("POD_NAMESPACE"); namespace != "" {
		return namespace
	}
	b, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if err != nil {
		return "" // no pod
	}
	return strings.TrimSpace(string(b))
}
