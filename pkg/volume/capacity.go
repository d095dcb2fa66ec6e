package volume

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Reserve is what is kept back of an export: bytes, or a part of its size in percent. One of the two is 0.
type Reserve struct {
	Bytes   uint64
	Percent uint8
}

// Of is the reserve of an export of total bytes.
func (r Reserve) Of(total uint64) uint64 {
	return r.Bytes + total/100*uint64(r.Percent) + total%100*uint64(r.Percent)/100
}

// String prints r as [ParseReserve] reads it.
func (r Reserve) String() string {
	if r.Percent > 0 {
		return strconv.Itoa(int(r.Percent)) + "%"
	}
	return strconv.FormatUint(r.Bytes, 10)
}

// ParseReserve reads capacityReserve: bytes as a Kubernetes quantity ("50Gi"), or a whole percentage ("5%"); "" is 0.
func ParseReserve(s string) (Reserve, error) {
	text := strings.TrimSpace(s)
	if text == "" {
		return Reserve{}, nil
	}
	if number, ok := strings.CutSuffix(text, "%"); ok {
		if n, err := strconv.ParseUint(number, 10, 8); err == nil && n <= 100 {
			return Reserve{Percent: uint8(n)}, nil
		}
	} else if n, ok := parseQuantity(text); ok {
		return Reserve{Bytes: n}, nil
	}
	return Reserve{}, fmt.Errorf("%w: %s is %q, it must be bytes such as 50Gi, or a percentage from 0%% to 100%%", ErrInvalid, ParamCapacityReserve, s)
}

// units are the suffixes of a Kubernetes quantity that make sense for bytes, each after those that end like it.
var units = [...]struct {
	suffix string
	bytes  int64
}{
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40}, {"Pi", 1 << 50}, {"Ei", 1 << 60},
	{"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"P", 1e15}, {"E", 1e18}, {"", 1},
}

// maxQuantity bounds the length of a quantity; 2^63-1 has 19 digits.
const maxQuantity = 32

// parseQuantity reads a number of bytes up to 2^63-1, with an optional fraction; what is left of a byte is rounded up.
func parseQuantity(s string) (uint64, bool) {
	if len(s) > maxQuantity {
		return 0, false
	}
	for _, u := range units {
		number, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		if strings.Trim(number, "0123456789.") != "" || strings.Trim(number, ".") == "" {
			return 0, false
		}
		n, ok := new(big.Rat).SetString(number)
		if !ok {
			return 0, false
		}
		n.Mul(n, new(big.Rat).SetInt64(u.bytes))
		whole, rest := new(big.Int).QuoRem(n.Num(), n.Denom(), new(big.Int))
		if rest.Sign() > 0 {
			whole.Add(whole, big.NewInt(1))
		}
		if !whole.IsUint64() || whole.Uint64() > math.MaxInt64 {
			return 0, false
		}
		return whole.Uint64(), true
	}
	return 0, false
}
