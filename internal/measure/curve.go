package measure

import "slices"

// Curve is a set of lines over the same axes.
type Curve struct {
	Name   string   `json:"name"` // of the file that it is drawn in, without the ending
	Title  string   `json:"title"`
	X      string   `json:"x"` // what the axes show, with the unit
	Y      string   `json:"y"`
	Series []Series `json:"series"`
}

// Series is one line: points in the order of their X.
type Series struct {
	Name   string `json:"name"`
	Bound  bool   `json:"bound,omitempty"` // a bound that no program passes, and not a program
	Points []XY   `json:"points"`
}

// XY is a point of a line.
type XY struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// Add puts a point into the series of that name, which it creates if there is none.
func (c *Curve) Add(series string, bound bool, p XY) {
	i := slices.IndexFunc(c.Series, func(s Series) bool { return s.Name == series })
	if i < 0 {
		i = len(c.Series)
		c.Series = append(c.Series, Series{Name: series, Bound: bound})
	}
	s := &c.Series[i]
	at := slices.IndexFunc(s.Points, func(q XY) bool { return q.X > p.X })
	if at < 0 {
		at = len(s.Points)
	}
	s.Points = slices.Insert(s.Points, at, p)
}

// addSpeeds puts the speed of each row into the series of its arm. The rows from bound on are
// bounds.
func (c *Curve) addSpeeds(rows []Row, x float64, bound int) {
	for i, r := range rows {
		c.Add(r.Arm, i >= bound, XY{x, r.Speed()})
	}
}
