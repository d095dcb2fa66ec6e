package volume

import "strconv"

// FormatBytes prints n for people, as "5", "1.5Ki" or "20Gi" bytes: with the suffixes of Kubernetes, rounded to two or three digits.
func FormatBytes(n uint64) string {
	const suffixes = "KMGTPE"
	if n < 1<<10 {
		return strconv.FormatUint(n, 10)
	}
	value, unit := float64(n)/(1<<10), 0
	for value >= 1<<10 && unit < len(suffixes)-1 {
		value, unit = value/(1<<10), unit+1
	}
	digits := 1
	if value >= 10 || value == float64(int(value)) {
		digits = 0
	}
	return strconv.FormatFloat(value, 'f', digits, 64) + suffixes[unit:unit+1] + "i"
}
