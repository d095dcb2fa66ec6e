// Package e2e drives a real cluster with kubectl, as its users do, and looks at what the driver made of it.
//
// The tests are behind the build tag e2e. They want a cluster with the chart installed from testdata/values.yaml; the
// script run beside this file makes one, and says which variables of the environment the tests read.
package e2e
