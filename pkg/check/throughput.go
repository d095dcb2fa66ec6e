package check

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	pieceBytes     = 1 << 20
	piecesInFlight = 8
	// throughputTime is how much longer than other probes measuring may take.
	throughputTime = 30
)

// throughput writes a file and reads it again, some pieces at once.
func (s *scratch) throughput(ctx context.Context) {
	if s.Throughput <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, throughputTime*s.Timeout)
	defer cancel()
	name := s.dir + "/large"
	err := s.create(ctx, "large", nil)
	var wrote, read float64
	if err == nil {
		wrote, err = s.rate(func(offset int64, piece []byte) error { return s.fs.WriteAt(ctx, name, piece, offset) })
	}
	if err == nil {
		read, err = s.rate(func(offset int64, piece []byte) error { _, err := s.fs.ReadAt(ctx, name, piece, offset); return err })
	}
	if err != nil {
		s.found(Line{Check: "throughput", Status: Warn, Text: err.Error(), Fix: fixOf(err)})
		return
	}
	s.found(Line{Check: "throughput", Status: OK, Text: fmt.Sprintf("%s a second are written to stable storage, %s are read by one connection", size(uint64(wrote)), size(uint64(read))),
		Data: map[string]any{"writeBytesPerSecond": wrote, "readBytesPerSecond": read}})
}

// rate does something with every piece, and answers the bytes per second; the first error ends it.
func (s *scratch) rate(do func(offset int64, piece []byte) error) (float64, error) {
	began := time.Now()
	offsets := make(chan int64)
	errs := make([]error, piecesInFlight)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			piece := make([]byte, pieceBytes)
			for offset := range offsets {
				if errs[i] == nil {
					errs[i] = do(offset, piece[:min(pieceBytes, s.Throughput-offset)])
				}
			}
		})
	}
	for offset := int64(0); offset < s.Throughput; offset += pieceBytes {
		offsets <- offset
	}
	close(offsets)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return float64(s.Throughput) / time.Since(began).Seconds(), nil
}
