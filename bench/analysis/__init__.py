"""From runs to answers: pure functions over records, without files and without clocks."""
