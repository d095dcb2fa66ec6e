package volume

import "strings"

// SplitOptions reads options as mount -o has them: between commas, but for commas in double quotes (SELinux contexts).
func SplitOptions(s string) []string {
	quoted := false
	var options []string
	for o := range strings.FieldsFuncSeq(s, func(r rune) bool {
		quoted = quoted != (r == '"')
		return r == ',' && !quoted
	}) {
		if o = strings.TrimSpace(o); o != "" {
			options = append(options, o)
		}
	}
	return options
}
