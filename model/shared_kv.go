package model

// ShareKV lets the last layers attend to the keys and values of earlier ones (Brandon et al., 2024),
// as many as attention.shared_kv_layers says: each to those of the last layer with its own that has a
// window if it has one, and none if it has none.
func (l *Loader) ShareKV(all []Layer) {
	own := all[:len(all)-l.UpTo("attention.shared_kv_layers", len(all))]
	for i := len(own); i < len(all); i++ {
		of := -1
		for j, a := range own {
			if (a.Window > 0) == (all[i].Window > 0) {
				of = j
			}
		}
		if of < 0 {
			l.fault("metadata %s is %d: layer %d has no keys and values of its own then, and no layer of its kind before it has them",
				l.key("attention.shared_kv_layers"), len(all)-len(own), i)
			return
		}
		a := own[of]
		l.Check(a.KVHeads == all[i].KVHeads && a.KeyDim == all[i].KeyDim && a.ValueDim == all[i].ValueDim,
			"layer %d attends to the keys and values of layer %d, and has %d KV heads of %d and %d values where that has %d of %d and %d",
			i, of, all[i].KVHeads, all[i].KeyDim, all[i].ValueDim, a.KVHeads, a.KeyDim, a.ValueDim)
		all[i].SharesKV, all[i].KVOf = true, of
	}
}
