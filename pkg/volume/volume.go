package volume

import "time"

// Request asks for a volume.
type Request struct {
	Name          string // as the orchestrator gave it; see [CleanName]
	Class         Class
	RequiredBytes int64    // at least this much
	LimitBytes    int64    // at most this much; 0: no limit
	MountOptions  []string // of the class: how to reach the server (vers=, port=, ...)
	Source        *Source  // what the volume is filled from; nil: it is empty
	Changes       Changes  // what takes the place of the class's values, [Unchanged] if nothing
}

// ID is the handle that the requested volume has, or will have.
func (r Request) ID() (ID, error) {
	claim := r.Class.Claim
	name := CleanName(r.Name)
	if claim.Volume == "" {
		claim.Volume = name
	}
	d, err := r.Class.Template.Expand(claim)
	if err != nil {
		return ID{}, err
	}
	id := ID{Location: r.Class.Location, Dir: d, Policy: r.Class.With(r.Changes).Policy}
	if string(d) != name {
		id.UUID = name
	}
	return id, nil
}

// Volume is a volume that exists.
type Volume struct {
	ID            ID
	CapacityBytes int64 // 0: not known, as with volumes of the predecessors
	Created       time.Time
}

// Space is how full an export is, in bytes.
type Space struct{ Total, Available uint64 }

// Minus is the space of which r is kept back.
func (s Space) Minus(r Reserve) Space {
	s.Available -= min(s.Available, r.Of(s.Total))
	return s
}
