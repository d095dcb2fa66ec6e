package chart_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// forbidden are the reasons for which Pod Security refuses a pod.
func forbidden(t *testing.T, level api.Level, pod corev1.PodTemplateSpec) []string {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, result := range evaluator.EvaluatePod(api.LevelVersion{Level: level, Version: api.LatestVersion()}, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			reasons = append(reasons, result.ForbiddenReason)
		}
	}
	slices.Sort(reasons)
	return reasons
}

func TestPodSecurity(t *testing.T) {
	for _, test := range []struct {
		name             string
		controller, node []string // reasons why "restricted" refuses them
	}{
		{name: "default", node: nodeReasons},
		{name: "classes", node: nodeReasons},
		{name: "hostnetwork", node: nodeReasons, controller: []string{"host namespaces", "runAsNonRoot != true", "runAsUser=0"}},
	} {
		all := objects(t, values(t, test.name))
		if got := forbidden(t, api.LevelRestricted, one[*appsv1.Deployment](t, all).Spec.Template); !slices.Equal(got, test.controller) {
			t.Errorf("%s: the controller is not restricted because of %q, want %q", test.name, got, test.controller)
		}
		if got := forbidden(t, api.LevelRestricted, one[*appsv1.DaemonSet](t, all).Spec.Template); !slices.Equal(got, test.node) {
			t.Errorf("%s: the node is not restricted because of %q, want %q", test.name, got, test.node)
		}
	}
}

// What mounting for others takes, and nothing more.
var nodeReasons = []string{"allowPrivilegeEscalation != false", "host namespaces", "privileged",
	"probe or lifecycle host", "restricted volume types", "runAsNonRoot != true", "runAsUser=0", "seccompProfile", "unrestricted capabilities"}

func TestTheControllerOnTheNodesNetworkHasOneCapability(t *testing.T) {
	pod := one[*appsv1.Deployment](t, objects(t, values(t, "hostnetwork"))).Spec.Template.Spec
	want := &corev1.Capabilities{Add: []corev1.Capability{"NET_BIND_SERVICE"}, Drop: []corev1.Capability{"ALL"}}
	if got := pod.Containers[0].SecurityContext.Capabilities; !reflect.DeepEqual(got, want) {
		t.Errorf("capabilities %+v, want %+v", got, want)
	}
	if len(pod.SecurityContext.Sysctls) > 0 {
		t.Errorf("sysctls %v: kubelet refuses them there", pod.SecurityContext.Sysctls)
	}
}

// One container in a pod, whatever the values: no sidecars, no init containers.
func TestPodsHaveOneContainer(t *testing.T) {
	for _, name := range cases(t) {
		all := objects(t, values(t, name))
		for component, pod := range map[string]corev1.PodSpec{
			"controller": one[*appsv1.Deployment](t, all).Spec.Template.Spec,
			"node":       one[*appsv1.DaemonSet](t, all).Spec.Template.Spec,
		} {
			if len(pod.Containers) != 1 || len(pod.InitContainers) != 0 || pod.Containers[0].Name != component {
				t.Errorf("%s: %s has %d containers and %d init containers", name, component, len(pod.Containers), len(pod.InitContainers))
			}
		}
	}
}

// rule is what a role allows, "GROUP/RESOURCE[NAMES] VERBS".
func rule(r rbacv1.PolicyRule) string {
	return fmt.Sprintf("%s/%s%v %s", strings.Join(r.APIGroups, ","), strings.Join(r.Resources, ","), r.ResourceNames, strings.Join(r.Verbs, " "))
}

func allowed(rules []rbacv1.PolicyRule) (all []string) {
	for _, r := range rules {
		all = append(all, rule(r))
	}
	slices.Sort(all)
	return all
}

// The permissions of the controller, all of them. A new one is added here with the code that needs it.
func TestPermissions(t *testing.T) {
	snapshots := []string{
		"snapshot.storage.k8s.io/volumesnapshots[] get",
		"snapshot.storage.k8s.io/volumesnapshotcontents[] get list watch update patch",
		"snapshot.storage.k8s.io/volumesnapshotcontents/status[] update patch",
		"snapshot.storage.k8s.io/volumesnapshotclasses[] get list watch",
	}
	resizing := []string{"/persistentvolumeclaims/status[] patch", "storage.k8s.io/volumeattributesclasses[] get list watch"}
	capacity := []string{"apps/deployments[my-nfs-csi-controller] get", "storage.k8s.io/csistoragecapacities[] list create update delete"}
	for values, test := range map[string]struct{ cluster, own []string }{
		"": {cluster: slices.Concat(snapshots, resizing)},
		"snapshots: {enabled: false}\nresizing: {enabled: false}": {cluster: []string{"storage.k8s.io/volumeattributesclasses[] get"}},
		"capacity: {enabled: true}":                               {cluster: slices.Concat(snapshots, resizing), own: capacity},
	} {
		all := objects(t, values)
		wantCluster := append(test.cluster,
			"/persistentvolumes[] get list watch create patch delete", "/persistentvolumeclaims[] get list watch",
			"storage.k8s.io/storageclasses[] list watch", "/events[] create patch")
		slices.Sort(wantCluster)
		if got := allowed(one[*rbacv1.ClusterRole](t, all).Rules); !slices.Equal(got, wantCluster) {
			t.Errorf("%q: in the cluster: %q, want %q", values, got, wantCluster)
		}
		wantOwn := append(test.own, "coordination.k8s.io/leases[nfs-csi-github-io] get update", "coordination.k8s.io/leases[] create")
		slices.Sort(wantOwn)
		if got := allowed(one[*rbacv1.Role](t, all).Rules); !slices.Equal(got, wantOwn) {
			t.Errorf("%q: in its own namespace: %q, want %q", values, got, wantOwn)
		}
	}
}

// With the name of another program's driver its sidecars' leases are held too; the named secrets can be read, each by a role of
// its own, and no others.
func TestPermissionsForTakingOver(t *testing.T) {
	all := objects(t, "driver: {name: nfs.csi.k8s.io, secrets: [{namespace: a, name: s}, {namespace: b, name: t}]}")
	var got []string
	for _, role := range only[*rbacv1.Role](all) {
		for _, may := range allowed(role.Rules) {
			got = append(got, role.Namespace+": "+may)
		}
	}
	want := []string{
		"storage-system: coordination.k8s.io/leases[] create",
		"storage-system: coordination.k8s.io/leases[nfs-csi-k8s-io external-resizer-nfs-csi-k8s-io external-snapshotter-leader-nfs-csi-k8s-io] get update",
		"a: /secrets[s] get", "b: /secrets[t] get",
	}
	if !slices.Equal(got, want) {
		t.Errorf("allowed is %q\nwant %q", got, want)
	}
	for _, may := range allowed(one[*rbacv1.ClusterRole](t, all).Rules) {
		if strings.Contains(may, "secrets") {
			t.Errorf("in the whole cluster: %s", may)
		}
	}
}

// The node has no permission and no token to ask with; the controller's pod uses the account that the bindings name.
func TestAccounts(t *testing.T) {
	for _, name := range cases(t) {
		all := objects(t, values(t, name))
		controller := one[*appsv1.Deployment](t, all).Spec.Template.Spec
		node := one[*appsv1.DaemonSet](t, all).Spec.Template.Spec
		if node.AutomountServiceAccountToken == nil || *node.AutomountServiceAccountToken || node.ServiceAccountName == controller.ServiceAccountName {
			t.Errorf("%s: the node can get the token of %s", name, node.ServiceAccountName)
		}
		want := []rbacv1.Subject{{Kind: "ServiceAccount", Name: controller.ServiceAccountName, Namespace: "storage-system"}}
		cluster, own, roles := one[*rbacv1.ClusterRoleBinding](t, all), only[*rbacv1.RoleBinding](all), only[*rbacv1.Role](all)
		if !reflect.DeepEqual(cluster.Subjects, want) || cluster.RoleRef.Name != one[*rbacv1.ClusterRole](t, all).Name {
			t.Errorf("%s: %s is bound to %v, want %v", name, cluster.RoleRef.Name, cluster.Subjects, want)
		}
		if len(own) != len(roles) {
			t.Fatalf("%s: %d bindings for %d roles", name, len(own), len(roles))
		}
		for i, role := range roles {
			if !reflect.DeepEqual(own[i].Subjects, want) || own[i].RoleRef.Name != role.Name || own[i].Namespace != role.Namespace {
				t.Errorf("%s: %s/%s is bound to %v, want %v", name, own[i].Namespace, own[i].RoleRef.Name, own[i].Subjects, want)
			}
		}
		var accounts []string
		for _, account := range only[*corev1.ServiceAccount](all) {
			accounts = append(accounts, account.Name)
		}
		if !slices.Contains(accounts, controller.ServiceAccountName) || !slices.Contains(accounts, node.ServiceAccountName) {
			t.Errorf("%s: the accounts are %v", name, accounts)
		}
	}
}

func TestAccountsAndRolesCanBeMadeElsewhere(t *testing.T) {
	all := objects(t, "serviceAccount: {create: false, controller: mine, node: theirs}\nrbac: {create: false}")
	for _, object := range all {
		if group := object.GetObjectKind().GroupVersionKind(); strings.HasPrefix(group.Group, "rbac.") || group.Kind == "ServiceAccount" {
			t.Errorf("there is a %s", group.Kind)
		}
	}
	if got := one[*appsv1.Deployment](t, all).Spec.Template.Spec.ServiceAccountName; got != "mine" {
		t.Errorf("the controller's account is %q", got)
	}
}

// Whatever the values, no rule says "all", and nobody may read secrets but those that the values name.
func TestNothingReadsSecrets(t *testing.T) {
	for _, name := range cases(t) {
		all := objects(t, values(t, name))
		var rules []rbacv1.PolicyRule
		for _, r := range only[*rbacv1.ClusterRole](all) {
			rules = append(rules, r.Rules...)
		}
		for _, r := range only[*rbacv1.Role](all) {
			rules = append(rules, r.Rules...)
		}
		if len(rules) < 8 {
			t.Errorf("%s: only %d rules", name, len(rules))
		}
		for _, r := range rules {
			if name == "everything" && rule(r) == "/secrets[mount-options] get" {
				continue // its driver.secrets
			}
			words := slices.Concat(r.APIGroups, r.Resources, r.Verbs)
			if name == "everything" && rule(r) == "/secrets[mount-options] get" {
				continue // the one that driver.secrets names there
			}
			if slices.Contains(words, "*") || slices.Contains(words, "secrets") || len(r.NonResourceURLs) > 0 {
				t.Errorf("%s: %s", name, rule(r))
			}
		}
	}
}

// Nothing in a container can be written but what is mounted for that, and the controller cannot get more rights. (The case "everything" asks for
// other security contexts.)
func TestContainersAreLockedDown(t *testing.T) {
	yes, no := true, false
	for _, name := range cases(t) {
		if name == "everything" {
			continue
		}
		all := objects(t, values(t, name))
		controller := one[*appsv1.Deployment](t, all).Spec.Template.Spec
		node := one[*appsv1.DaemonSet](t, all).Spec.Template.Spec
		for _, pod := range []corev1.PodSpec{controller, node} {
			if c := pod.Containers[0]; !reflect.DeepEqual(c.SecurityContext.ReadOnlyRootFilesystem, &yes) {
				t.Errorf("%s: the root file system of %s can be written", name, c.Name)
			}
		}
		c := controller.Containers[0].SecurityContext
		if !reflect.DeepEqual(c.AllowPrivilegeEscalation, &no) || c.Privileged != nil || !slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) {
			t.Errorf("%s: the controller has %+v", name, c)
		}
		for _, v := range controller.Volumes {
			if v.HostPath != nil {
				t.Errorf("%s: the controller has %s of the node", name, v.HostPath.Path)
			}
		}
		if controller.HostPID || controller.HostIPC || node.HostPID || node.HostIPC {
			t.Errorf("%s: a pod sees the node's processes", name)
		}
	}
}
