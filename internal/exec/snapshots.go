package exec

import (
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

// leastPrompt is from how many tokens on a snapshot is taken at the end of a prompt. Fewer are computed
// again as fast as one is read.
const leastPrompt = 32

// askForSnapshots asks for a snapshot at the end of each prompt of a batch, and before a prompt of which
// the batch has the first pass.
func (r *Runner) askForSnapshots(batch []kv.Work) {
	for _, w := range batch {
		if n := promptEnd(w); n > 0 {
			_ = w.Seq.SnapshotAt(n) // of a closed sequence: the step says so
		}
		again := w.Seq.PendingLen()
		if len(w.Tokens) == 0 {
			again = min(w.Again, again) // More has the rest
		}
		if all := again + len(w.Tokens) + w.More; w.More > 0 && w.Before == 0 && r.PassTokens(w.Seq, all) < all {
			_ = w.Seq.SnapshotAt(w.Seq.Len())
		}
	}
}

// forgetSnapshots takes back what askForSnapshots has asked for, after an error, which has left the
// sequences as they were: another prompt of theirs is cut where it alone ends.
func forgetSnapshots(batch []kv.Work) {
	for _, w := range batch {
		if n := promptEnd(w); n > 0 {
			w.Seq.ForgetSnapshotAt(n)
		}
	}
}

// promptEnd returns how many tokens the sequence of a work has with its prompt; 0: the work has not the
// end of one.
func promptEnd(w kv.Work) int {
	if n := len(w.Tokens) - w.Drafts; w.Before+n >= leastPrompt && w.More == 0 {
		return w.Seq.Len() + n
	}
	return 0
}

// cut returns how many of a work's tokens the next pass takes at most: it ends where a snapshot is to be
// taken, but not among guesses, after each of which the state is kept anyway.
func cut(w kv.Work, tokens int) int {
	if next := w.Seq.NextSnapshot(); next > 0 && next < tokens-w.Drafts {
		return next
	}
	return tokens
}

const (
	// leastSnapshots is for how many snapshots of each sequence there is room at least, where the user has
	// not said how much they may take.
	leastSnapshots = 4
	// snapshotShare is the share of the free host memory that they may take then: an eighth.
	snapshotShare = 8
)

// boundSnapshots bounds the memory of snapshots, if the user has not.
func boundSnapshots(o Options, c *kv.Options, backends []*ggml.Backend) {
	state := c.Plan(backends...).Kinds().StateBytes
	if c.SnapshotBytes != 0 || state == 0 {
		return
	}
	c.SnapshotBytes = leastSnapshots * int64(max(1, c.Trees)) * state
	if o.HostRoom == nil {
		return
	}
	if free, known := o.HostRoom(); known {
		c.SnapshotBytes = max(c.SnapshotBytes, free/snapshotShare)
	}
}
