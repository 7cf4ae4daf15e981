package generate

// Search decides which tokens follow a prompt. It computes nothing but that: it says which branches it wants forwarded
// (Branches), is given their logits (Take), and so on. A [Batch] does what it says.
type Search interface {
	// Branches returns what the search wants next, and none when it has ended. The slices are the search's, and hold
	// until Take.
	Branches() []Branch
	// Take goes on with the rows of logits of the branches, as many for each as it wanted: [branch][row][vocab].
	// An error ends the search.
	Take(rows [][][]float32) error
	// Stop ends the search with what it has.
	Stop(Finish)
	// Results returns the texts found, the best one first. Before the end they are those that Stop would leave.
	Results() []Text
}

// Branch is one of the sequences that a search goes on with. All of a search's sequences that no branch continues are
// closed.
type Branch struct {
	From   int     // it continues the branch of this number from the time before; the sequence that it began with is 0
	Len    int     // how many tokens of that one it keeps: what was only tried is forgotten
	Tokens []int32 // to append: at least one
	Logits int     // of how many of the last tokens logits are wanted
	Draft  int     // so many of the last tokens are guesses, which may be left out if they do not fit; their logits too
}
