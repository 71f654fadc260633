// Package pushrule holds the rules by which a user is notified of events: their
// types, the rules every user starts with, the edits clients may make, and the
// evaluation of an event against all of them.
// https://spec.matrix.org/v1.19/client-server-api/#push-rules
//
// # From storage to a verdict
//
// What is stored per user is a [Settings]: the rules the user made, and the
// edits the user made to the server's own. [Settings.Ruleset] lays it over
// [Default] and gives the [Ruleset] that clients see; [Compile] turns that into
// an [Evaluator], to be kept and used for many events by many goroutines.
//
//	ruleset := settings.Ruleset(pushrule.Default(user))
//	evaluator := pushrule.Compile(ruleset, user)
//	result := evaluator.Evaluate(event, pushrule.Context{MemberCount: 2})
//
// The defaults are not stored. A rule that a later version of this server adds
// or changes therefore reaches every user, except in those fields of a rule
// (enabled, actions) that the user has set.
//
// # The default rules
//
// They are those of version 1.19. Three that versions up to 1.16 had are gone:
// .m.rule.contains_display_name, .m.rule.roomnotif (both override) and
// .m.rule.contains_user_name (content), which looked for mentions in the body.
// A client that still edits one of them is told M_NOT_FOUND. Rules made by
// users may go on using the condition contains_display_name.
//
// # What is matched how
//
// What case-insensitive means says package glob.
//
// In content.body a match must begin and end at a word boundary: the start or
// end of the body, or a place with a character outside A-Z, a-z, 0-9 and _ on
// at least one of its sides. A pattern that begins with such a character, like
// @room, so matches after a letter too.
//
// # Costs
//
// Evaluation is linear in the size of the event for each rule that reads
// through a text, whatever the pattern: globs run as automata, without
// backtracking. [MaxSearches] bounds how many such rules a user may have; the
// other limits bound what is stored. They hold for edits: settings that came
// from elsewhere and exceed them still work and can still be made smaller,
// except that a pattern or key longer than [MaxPattern] never matches.
//
// The package keeps no state, and stops before pushers, unread counts and
// storage.
package pushrule
