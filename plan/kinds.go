package plan

// Kinds are the layers of a cache by what they keep, and the bytes of one sequence that grow with the
// context and that do not.
type Kinds struct {
	Full     int // layers that keep all rows
	Windowed int // layers that keep a ring of rows on their device: see RingCells
	Shared   int // layers that share another's K/V

	Recurrent  int   // layers that carry a state and keep no rows
	Plain      int   // layers that look at no other token
	StateBytes int64 // of one sequence in the recurrent layers

	LeastWindow, MostWindow int // tokens that windowed layers see; 0 without any

	TokenBytes int64 // of a token in the full layers
	RingBytes  int64 // of the rings, whatever the context
	RingCells  int   // of the largest ring
	PastBytes  int64 // of a token off the device, where windowed layers keep what is behind the windows
}

// Kinds returns the layers of all devices by kind.
func (c Cache) Kinds() (k Kinds) {
	rings, _ := c.kinds()
	for l, layer := range c.Layers {
		k.StateBytes = sum(k.StateBytes, layer.StateBytes)
		switch {
		case layer.StateBytes > 0:
			k.Recurrent++
		case layer.NoRows:
			k.Plain++
		case layer.Shares:
			k.Shared++
		case rings[l] > 0:
			k.Windowed++
			k.RingBytes = sum(k.RingBytes, product(layer.RowBytes, int64(rings[l])))
			k.RingCells = max(k.RingCells, rings[l])
			k.PastBytes = sum(k.PastBytes, layer.RowBytes)
			k.MostWindow = max(k.MostWindow, layer.Window)
			if k.LeastWindow == 0 || layer.Window < k.LeastWindow {
				k.LeastWindow = layer.Window
			}
		default:
			k.Full++
			k.TokenBytes = sum(k.TokenBytes, layer.RowBytes)
		}
	}
	return k
}

// Device returns the bytes that the K/V of one sequence of some tokens take on devices where no layer
// streams, in whole blocks.
func (k Kinds) Device(tokens int) int64 {
	return sum(product(k.TokenBytes, int64(WholeBlocks(tokens))), k.RingBytes)
}

// WindowRows returns the most rows behind windows that some bytes off the device have room for, in whole
// blocks and beside those of a ring, which are always kept; below 0: not even these fit.
func (k Kinds) WindowRows(bytes int64) int { return windowRows(k.PastBytes, k.RingCells, bytes) }

// windowRows is Kinds.WindowRows for cells that take past bytes.
func windowRows(past int64, ring int, bytes int64) int {
	return int(bytes/max(1, product(past, Block)))*Block - ring
}

// Past returns the bytes that lie behind the windows of a sequence of some tokens, in whole blocks.
func (k Kinds) Past(tokens int) int64 { return product(k.PastBytes, int64(WholeBlocks(tokens))) }
