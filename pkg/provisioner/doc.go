// Package provisioner turns claims into persistent volumes.
//
// One request followed: a claim appears whose class names one of our provisioner names; the library's controller
// ([sigs.k8s.io/sig-storage-lib-external-provisioner]) calls Provision; request.go makes a CSI request of claim and
// class; the CSI controller service answers in process; persistentvolume.go makes a PersistentVolume of the answer and
// the library saves it; Kubernetes binds the two. Controller says what runs when, and stops it in order.
package provisioner
