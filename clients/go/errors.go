package pannier

import (
	"errors"
	"fmt"
)

// ErrNotFound is what Get, GetEntry and Peek return where there is no value.
var ErrNotFound = errors.New("pannier: not found")

// ErrUnavailable is wrapped by every error that means that the sidecar cannot be reached, does not answer, or closed
// the connection. What was asked for may have been done.
var ErrUnavailable = errors.New("pannier: unavailable")

// ErrProtocol is wrapped, beside ErrUnavailable, where the other side does not speak this protocol, or refused.
var ErrProtocol = errors.New("protocol violated")

// ErrUnexpected is wrapped where a reply is none that the operation can have; the connection is fine.
var ErrUnexpected = errors.New("pannier: unexpected reply")

// ReplyError is an error that the sidecar answered with; the connection is fine. Code is one of proto/PROTOCOL.md's.
type ReplyError struct {
	Code string
	Text string
}

func (e *ReplyError) Error() string { return "pannier: " + e.Code + ": " + e.Text }

func unavailable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnavailable, fmt.Errorf(format, args...))
}

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %w: %s", ErrUnavailable, ErrProtocol, fmt.Sprintf(format, args...))
}

func unexpected(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnexpected, fmt.Sprintf(format, args...))
}
