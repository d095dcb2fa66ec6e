//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// sql runs statements on the MariaDB in a pod and returns what they select.
func (n namespace) sql(pod, statements string) string {
	n.t.Helper()
	return strings.TrimSpace(n.sh(pod, `mariadb --no-defaults -S /run/mysqld/mysqld.sock -uroot -p"$MARIADB_ROOT_PASSWORD" -N -e '`+statements+`'`))
}

// A database in a StatefulSet: it is there again after the StatefulSet was deleted and applied again.
func TestDatabaseStatefulSet(t *testing.T) {
	n := newNamespace(t, "mariadb")
	n.apply("mariadb-sts.yaml", nil)
	n.rolledOut("sts/mariadb")
	n.sql("mariadb-0", "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY, what TEXT); INSERT INTO shop.orders VALUES (1, \"tea\")")
	n.in("delete", "sts", "mariadb")
	n.gone("pods", "-l", "app=mariadb")
	n.apply("mariadb-sts.yaml", nil)
	n.rolledOut("sts/mariadb")
	if got := n.sql("mariadb-0", "SELECT what FROM shop.orders WHERE id = 1"); got != "tea" {
		t.Errorf("the order is %q", got)
	}
}

// A database Deployment that has its password from a Secret and its data on a volume that an admin made.
func TestDatabaseDeployment(t *testing.T) {
	n := newNamespace(t, "wordpress")
	dir := n.name + "-mysql"
	n.export().sh("mkdir " + dir + " && chmod 0777 " + dir)
	n.apply("static.yaml", map[string]any{"Volume": n.class("mysql"), "Claim": "mysql-pv-claim", "Mode": "ReadWriteOnce", "PVServer": n.server,
		"PVShare": n.share, "Handle": "mysql of " + n.name, "Dir": dir, "MountOptions": nil})
	n.apply("mysql.yaml", nil)
	n.rolledOut("deployment/mysql")
	n.sql("deployment/mysql", "CREATE TABLE blog.posts (title TEXT); INSERT INTO blog.posts VALUES (\"first\")")
	n.in("rollout", "restart", "deployment/mysql")
	n.rolledOut("deployment/mysql")
	if got := n.sql("deployment/mysql", "SELECT title FROM blog.posts"); got != "first" {
		t.Errorf("the post is %q", got)
	}
}
