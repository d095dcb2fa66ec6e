// Package migrate gives PersistentVolumes of other provisioners to this driver.
//
// What a PersistentVolume is cannot be changed, so each is made anew: same name, same claim, same directory, other source. The order
// keeps the data at every step: a note of the old and the new one (a ConfigMap), Retain, the old one goes, the new one comes, it is
// bound, the reclaim policy is as it was. Whatever stops it in between, the next try reads from the cluster how far it is, and goes on
// or back. The notes stay until somebody says that it is finished.
package migrate
