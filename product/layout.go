package product

// Activations are an f32 tensor of bytes, in which the base is the data's address rounded up to 64.
// There lie, one behind the other:
//
//	counters [32] i32
//	  Each product of these activations has one, which says how many items its threads have taken.
//	  Who writes the activations sets them to zero.
//	tiles
//	  Each has 16 tokens, and the last one the rest. A tile of n tokens is in/32 blocks, one behind the
//	  other, of 48n bytes:
//	    q   [n][32] i8   the tokens' values in units of d
//	    d   [n] f32
//	    all [n] i32      minus the sum of q
//	    lo  [n] i32      minus the sum of its first 16
//	    s   [n] f32      d times the sum of q
//	frames, at a multiple of 64
//	  One for each thread that the backend had when the operation was added, and behind each the
//	  thread's scratch: see below. Further threads leave the work to these.
const (
	counters     = 32
	tileTokens   = 16
	tokenBlock   = 48 // bytes of a token's 32 values
	blockValues  = 32
	tilesOffset  = 4 * counters
	frameRoom    = 6144 // bytes of a frame: the struct frame, at 1024 numbers of a unit, at 5120 the instruction set's
	fewTokens    = 4    // up to so many, a product reads packed panels, and above it expanded ones
	partValues   = 512  // of a row, which are expanded at a time: they stay in the first cache
	partBlocks   = partValues / blockValues
	passTokens   = 512          // at most of an item of GateUp
	mostPanels   = 4            // at most of an item of Product
	cachedBlocks = 2048         // blocks of 16 tokens: activations that are larger leave the second cache
	expandedSize = 1024 + 4*128 // bytes of 32 × 32 expanded weights at most: codes, scales and minimums
)

// A frame's scratch holds, behind the frame:
//
//	panel [min(in, 512)/32] blocks of 32 × 32 expanded weights; none for few tokens
//	  codes [8][2][64]: of values 4g to 4g+3, 16 rows of 4 bytes, and 16 rows more. Then scales d [32]
//	  f32, or those of the first 16 values and then of the last 16; then minimums m [32] f32, or so two.
//	gate, up [tokens][32] f32, of up to 512 tokens; GateUp alone has them

// layout holds the offsets of the parts of activations from their base, in bytes.
type layout struct {
	frames, frameSize int64
	threads           int
	size              int64
}

// activationsOf returns the layout of activations, with scratch of so many bytes a thread.
func activationsOf(in, tokens, scratch int64, threads int) layout {
	l := layout{frames: align(tilesOffset + in/blockValues*tokens*tokenBlock), frameSize: frameRoom + align(scratch), threads: threads}
	l.size = l.frames + int64(threads)*l.frameSize + 64 // as the base may be so much later than the data
	return l
}

// panelScratch returns the bytes of a panel's part in a thread's scratch.
func panelScratch(in, tokens int64) int64 {
	if tokens <= fewTokens {
		return 0
	}
	return min(in, partValues) / blockValues * expandedSize
}

// gateUpScratch returns the bytes of a thread's scratch for GateUp.
func gateUpScratch(in, tokens int64) int64 {
	const f32 = 4
	return panelScratch(in, tokens) + 2*min(tokens, passTokens)*Rows*f32
}

func align(n int64) int64 { return (n + 63) &^ 63 }
