package service

// HasNews reports whether there is something that the reader of an answer has not been woken for.
func (a *Answer) HasNews() bool { return len(a.news) > 0 }
