package generate

// Search decides which tokens follow a prompt. It says which branches it wants computed (Branches),
// is given their logits (Take), and so on until there are no branches. A [Batch] carries it out.
type Search interface {
	// Branches returns what the search wants computed next, and nothing when it has ended. The
	// slices are the search's, and are valid until Take.
	Branches() []Branch
	// IDs returns the tokens of a branch: the prompt's, and all new ones, but no guesses. Its sequence has the
	// first Branch.Len of them. They are the search's, and are valid until Take.
	IDs(branch int) []int32
	// Take goes on with the logits of the branches, for each as many rows as it wanted:
	// [branch][row][vocab]. An error ends the search.
	Take(rows [][][]float32) error
	// Stop ends the search with what it has.
	Stop(Finish)
	// Results returns the texts found, the best one first. Before the end these are the texts that
	// Stop would leave.
	Results() []Text
}

// Branch is one of the sequences that a search goes on with. Sequences of the search that no branch
// continues are closed.
type Branch struct {
	From   int     // index of the earlier branch that it continues; at first 0, the sequence that the search began with
	Len    int     // how many tokens of that branch it keeps; wrong guesses are dropped
	Tokens []int32 // to append: at least one
	Logits int     // for how many of the last tokens logits are wanted
	Draft  int     // how many of the last tokens are guesses, which may be left out with their logits if they do not fit
}
