package conversation

import (
	"context"

	"github.com/seed4d217819/ebb"
)

// Batch returns the options of a batch whose requests have the store's conversations: idle ones are given up
// for them, copies are stopped, and with files those of requests that wait are written there.
func (s *Store) Batch(o ebb.BatchOptions) ebb.BatchOptions {
	o.Full = func(ctx context.Context, _ []ebb.Claim, full error) (bool, error) {
		made, err := s.askForRoom(ctx, full)
		if made || err != nil || full == nil || s.making() != nil { // a request that has not begun can wait for copies
			return made, err
		}
		return s.stopCopy(ctx, full)
	}
	if s.files != nil {
		o.Park, o.Coming, o.Lost = s.park, s.coming, s.lost
	}
	return o
}
