package faults_test

import (
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/test/faults"
)

func TestTable(t *testing.T) {
	var table faults.Table
	if !table.Took("switched off", "publish", 15*time.Second, 10*time.Second+240*time.Millisecond) {
		t.Error("10 s are more than 15 s")
	}
	if table.Took("switched off", "stats", 5*time.Second, 5*time.Second+1600*time.Microsecond) {
		t.Error("5.0016 s are less than 5 s")
	}
	table.Enter("switched off", "mounts left", "0", "0", true)
	const want = `| fault | operation | bound | measured | verdict |
| --- | --- | --- | --- | --- |
| switched off | publish | 15s | 10.2s | kept |
| switched off | stats | 5s | 5.002s | BROKEN |
| switched off | mounts left | 0 | 0 | kept |
`
	if got := table.String(); got != want {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
}
