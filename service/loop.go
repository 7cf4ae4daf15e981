package service

import "github.com/seed4d217819/ebb"

// run takes steps until the service is closed. It is the only goroutine that uses the batch.
func (s *Service) run() {
	defer close(s.stopped)
	var going []*Answer
	defer func() {
		for _, a := range going {
			s.end(a, ErrClosed)
		}
	}()
	for s.ctx.Err() == nil {
		if !s.admit(&going) {
			return
		}
		if _, err := s.batch.Step(s.ctx); err != nil {
			return // the service is closed: no other context ends a step
		}
		going = s.deliver(going)
	}
}

// admit adds the requests that have come to those that are under way. Where there are none, it waits for
// one. It returns false if the service is closed meanwhile.
func (s *Service) admit(going *[]*Answer) bool {
	for {
		arrived := s.arrived
		if len(*going) > 0 {
			select {
			case a := <-arrived:
				s.add(going, a)
				continue
			default:
				return true
			}
		}
		select {
		case a := <-arrived:
			s.add(going, a)
		case <-s.ctx.Done():
			return false
		}
	}
}

// add adds a request to the batch.
func (s *Service) add(going *[]*Answer, a *Answer) {
	g, err := s.batch.Add(ebb.Request{Context: a.ctx, Prompt: a.prompt.tokens, Config: a.prompt.config})
	if err != nil {
		s.end(a, err)
		return
	}
	a.generation = g
	*going = append(*going, a)
}

// deliver gives answers what a step has found, and returns those that go on.
func (s *Service) deliver(going []*Answer) []*Answer {
	left := going[:0]
	for _, a := range going {
		a.take()
		if a.generation.Done() {
			s.end(a, a.generation.Err())
			continue
		}
		left = append(left, a)
	}
	clear(going[len(left):])
	return left
}

// end ends an answer and gives back its place.
func (s *Service) end(a *Answer, err error) {
	a.end(err)
	<-s.places
}
