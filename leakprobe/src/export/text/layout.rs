//! Lines of at most 100 columns, where what is in them allows it: names are never cut.

/// Columns that lines are filled to.
const WIDTH: usize = 100;

/// How a piece of text is shown on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Bold,
    Dim,
    Alarm,
    Warning,
}

impl Style {
    /// The terminal's control sequence (ECMA-48 SGR) for it.
    fn sequence(self) -> Option<&'static str> {
        match self {
            Style::Plain => None,
            Style::Bold => Some("\x1b[1m"),
            Style::Dim => Some("\x1b[2m"),
            Style::Alarm => Some("\x1b[1;31m"),
            Style::Warning => Some("\x1b[33m"),
        }
    }
}

/// A piece of a line that is not broken.
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) style: Style,
    /// What stands between it and the piece before it, on one line.
    pub(super) gap: &'static str,
}

impl Piece {
    pub(super) fn new(gap: &'static str, text: impl Into<String>, style: Style) -> Self {
        Piece { text: text.into(), style, gap }
    }
}

/// Text in the making. Everything that is put into it must be printable already.
pub(super) struct Page {
    text: String,
    colour: bool,
}

impl Page {
    pub(super) fn new(colour: bool) -> Self {
        Page { text: String::new(), colour }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    pub(super) fn blank(&mut self) {
        self.text.push('\n');
    }

    /// A line as it is, however long.
    pub(super) fn line(&mut self, text: &str, style: Style) {
        self.styled(text, style);
        self.blank();
    }

    /// Pieces one after the other; those that don't fit go on the next line, `indent` columns in.
    pub(super) fn fill(&mut self, pieces: &[Piece], indent: usize) {
        let mut column = 0;
        for (index, piece) in pieces.iter().enumerate() {
            let width = piece.text.chars().count();
            let gap = if index == 0 { "" } else { piece.gap };
            if index > 0 && column > indent && column + gap.chars().count() + width > WIDTH {
                self.text.truncate(self.text.trim_end_matches(' ').len());
                self.blank();
                self.text.push_str(&" ".repeat(indent));
                // A gap that says something (an arrow) stays, at the head of the line.
                let head = gap.trim_start();
                self.text.push_str(head);
                column = indent + head.chars().count();
            } else {
                self.text.push_str(gap);
                column += gap.chars().count();
            }
            self.styled(&piece.text, piece.style);
            column += width;
        }
        self.blank();
    }

    /// A label with text behind it, broken between words.
    pub(super) fn labelled(&mut self, label: &str, text: &str, style: Style) {
        let pieces: Vec<Piece> = text.split(' ').map(|word| Piece::new(" ", word, style)).collect();
        self.labelled_pieces(label, pieces);
    }

    /// A label with pieces behind it.
    pub(super) fn labelled_pieces(&mut self, label: &str, mut pieces: Vec<Piece>) {
        let head = format!("{:LABEL_AT$}{label:<width$} ", "", width = LABEL - 1);
        if let Some(first) = pieces.first_mut() {
            first.gap = "";
        }
        pieces.insert(0, Piece::new("", head, Style::Dim));
        self.fill(&pieces, LABEL_AT + LABEL);
    }

    fn styled(&mut self, text: &str, style: Style) {
        match style.sequence().filter(|_| self.colour) {
            Some(sequence) => {
                self.text.push_str(sequence);
                self.text.push_str(text);
                self.text.push_str("\x1b[0m");
            }
            None => self.text.push_str(text),
        }
    }
}

/// Column of labels.
const LABEL_AT: usize = 8;
/// Columns of a label with the space behind it.
const LABEL: usize = 11;
