package volume

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// maxKey leaves room for an extension and a suffix below NAME_MAX.
const maxKey = 200

// Key makes one safe, readable file name of any text, different for different texts: letters, digits, ".", "_" and
// "-" stand as they are, anything else and a leading "." as %XX. Longer than 200 bytes it is cut and a SHA-256 added.
func Key(text string) string {
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		if plain(c) && !(i == 0 && c == '.') {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	if b.Len() <= maxKey && b.Len() > 0 {
		return b.String()
	}
	sum := sha256.Sum256([]byte(text))
	tail := "%-" + hex.EncodeToString(sum[:16]) // "%-" is no escape, so no short text has this key
	return b.String()[:min(b.Len(), maxKey-len(tail))] + tail
}

// CleanName is the name that a volume goes by in its ID and record: the CSI name where that is safe text (every PV
// name is), else a readable remainder of it with a SHA-256.
func CleanName(csiName string) string {
	safe := csiName != "" && len(csiName) <= maxKey && csiName[0] != '.'
	var b strings.Builder
	for i := range len(csiName) {
		if plain(csiName[i]) {
			b.WriteByte(csiName[i])
			continue
		}
		safe = false
	}
	if safe {
		return csiName
	}
	sum := sha256.Sum256([]byte(csiName))
	rest := strings.TrimLeft(b.String(), ".")
	return rest[:min(len(rest), 100)] + "-" + hex.EncodeToString(sum[:16])
}

// plainText says whether all of s is plain: so is the zone of an address, the name of an interface.
func plainText(s string) bool {
	for i := range len(s) {
		if !plain(s[i]) {
			return false
		}
	}
	return true
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
}
