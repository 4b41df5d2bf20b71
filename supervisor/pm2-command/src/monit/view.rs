//! The boards, drawn.

use muster_supervisor_protocol::{InstanceState, LogStreamName};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, List, ListItem, ListState, Paragraph};

use super::model::{Board, Model, Row, metric, status};

/// Names longer than this are cut in the list.
const NAME_WIDTH: usize = 15;
/// A line of the list with its frame.
const LIST_WIDTH: u16 = 54;

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let [boards, footer] = Layout::vertical([Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
    let [top, bottom] =
        Layout::vertical([Constraint::Percentage(70), Constraint::Percentage(30)]).areas(boards);
    let columns = [Constraint::Percentage(30), Constraint::Percentage(70)];
    // The state of a process stands at the end of its line, so the list gets its line where the terminal has the room.
    let list = (frame.area().width * 3 / 10).max(LIST_WIDTH.min(frame.area().width * 9 / 20));
    let [processes, logs] = Layout::horizontal([Constraint::Length(list), Constraint::Min(0)]).areas(top);
    let [metrics, metadata] = Layout::horizontal(columns).areas(bottom);
    draw_processes(frame, model, processes);
    draw_logs(frame, model, logs);
    draw_metrics(frame, model, metrics);
    draw_metadata(frame, model, metadata);
    let footer_line = match &model.trouble {
        Some(trouble) => Line::styled(format!(" {trouble}"), Style::new().fg(Color::White).bg(Color::Red)),
        None => Line::raw(" left/right: switch boards | up/down: select, scroll | q or Ctrl-C: exit"),
    };
    frame.render_widget(Paragraph::new(footer_line), footer);
}

fn block(model: &Model, board: Board, title: String) -> Block<'static> {
    let colour = if model.board == board { Color::Blue } else { Color::White };
    Block::bordered().title(title).border_style(Style::new().fg(colour))
}

fn draw_processes(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let block = block(model, Board::Processes, " Process List ".to_owned());
    if model.rows.is_empty() {
        frame.render_widget(Paragraph::new(model.empty_text()).block(block), area);
        return;
    }
    let items = model.rows.iter().map(|row| ListItem::new(process(row)));
    let list = List::new(items).block(block).highlight_style(Style::new().bg(Color::Blue).fg(Color::White));
    let mut state = ListState::default().with_selected(Some(model.selected()));
    frame.render_stateful_widget(list, area, &mut state);
}

fn process(row: &Row) -> Line<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let instance = &row.instance;
    let colour = match instance.state {
        InstanceState::Ready => Color::Green,
        InstanceState::Starting | InstanceState::Stopping | InstanceState::BackingOff => Color::Yellow,
        InstanceState::Stopped | InstanceState::CrashLooping => Color::Red,
    };
    Line::from(vec![
        Span::raw(format!("[{:>2}] {} Mem: ", row.id, short(&row.app))),
        Span::styled(format!("{:>3}", instance.memory_bytes / 1_048_576), bold),
        Span::raw(" MB  CPU: "),
        Span::styled(format!("{:>2.0}", instance.cpu_percent), bold),
        Span::raw(" %  "),
        Span::styled(status(instance.state), bold.fg(colour)),
    ])
}

fn short(name: &str) -> String {
    if name.chars().count() > NAME_WIDTH {
        let cut: String = name.chars().take(NAME_WIDTH - 1).collect();
        format!("{cut}…")
    } else {
        format!("{name:<NAME_WIDTH$}")
    }
}

fn draw_logs(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let name = model.chosen().map(|row| format!("{} ", row.app)).unwrap_or_default();
    let block = block(model, Board::Logs, format!(" {name}Logs "));
    let height = usize::from(block.inner(area).height);
    let mut shown = Vec::new();
    if let (Some(lines), Some(row)) = (model.lines(), model.chosen()) {
        let end = lines.len().saturating_sub(model.scrolled(Board::Logs));
        for (stream, text) in lines.iter().take(end).skip(end.saturating_sub(height)) {
            let colour = match stream {
                LogStreamName::Out => Color::Green,
                LogStreamName::Err => Color::Red,
            };
            let name = Span::styled(row.app.clone(), Style::new().fg(colour));
            shown.push(Line::from(vec![name, Span::raw(format!(" > {text}"))]));
        }
    }
    frame.render_widget(Paragraph::new(shown).block(block), area);
}

fn draw_metrics(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let block = block(model, Board::Metrics, " Custom Metrics ".to_owned());
    let width = usize::from(block.inner(area).width);
    let metrics = model.chosen().map(|row| &row.instance.metrics);
    let lines: Vec<Line<'_>> = metrics
        .into_iter()
        .flatten()
        .skip(model.scrolled(Board::Metrics))
        .map(|(name, value)| {
            let value = metric(value);
            let gap = width.saturating_sub(name.chars().count() + value.chars().count()).max(1);
            Line::from(vec![
                Span::styled(name.clone(), Style::new().add_modifier(Modifier::BOLD)),
                Span::raw(format!("{}{value}", " ".repeat(gap))),
            ])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn draw_metadata(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let lines: Vec<Line<'_>> = model
        .chosen()
        .into_iter()
        .flat_map(|row| &row.metadata)
        .skip(model.scrolled(Board::Metadata))
        .map(|(name, value)| Line::raw(format!("{name:<21} {value}")))
        .collect();
    let block = block(model, Board::Metadata, " Metadata ".to_owned());
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::model::Key;
    use super::super::model::tests::{app, line};
    use super::*;

    fn screen(model: &Model, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model)).unwrap();
        terminal.backend().to_string()
    }

    fn shop() -> Model {
        let mut model = Model::new();
        let apps = [
            app("shop", &[(0, InstanceState::Ready), (1, InstanceState::CrashLooping)]),
            app("a-worker-with-a-long-name", &[(2, InstanceState::BackingOff)]),
        ];
        model.update(&apps, &[]);
        model
    }

    #[test]
    fn every_board_is_there() {
        let mut model = shop();
        model.key(Key::Move(1));
        model.log(&line("shop", 0, "listening on 3000"));
        model.log(&line("shop", 1, "not of the chosen one"));
        let shown = screen(&model, 160, 30);
        for text in [
            "Process List",
            "[ 2] a-worker-with-… Mem:  50 MB",
            "[ 0] shop            Mem:  50 MB  CPU: 12 %",
            "shop Logs",
            "shop > listening on 3000",
            "Heap Size",
            "12.5 MiB",
            "App Name              shop",
            "Exec mode             cluster",
            "q or Ctrl-C: exit",
        ] {
            assert!(shown.contains(text), "{text:?} in\n{shown}");
        }
        assert!(!shown.contains("not of the chosen one"), "{shown}");
    }

    #[test]
    fn the_newest_line_is_at_the_bottom_unless_somebody_scrolls() {
        let mut model = shop();
        model.key(Key::Last);
        (0..100).for_each(|n| model.log(&line("shop", 1, &format!("entry {n};"))));
        let shown = screen(&model, 100, 20);
        assert!(shown.contains("entry 99;") && !shown.contains("entry 50;"), "{shown}");
        model.key(Key::Right);
        model.key(Key::Move(-49));
        let shown = screen(&model, 100, 20);
        assert!(shown.contains("entry 50;") && !shown.contains("entry 51;"), "{shown}");
    }

    #[test]
    fn an_empty_list_trouble_and_a_tiny_terminal_are_drawn() {
        let mut model = Model::new();
        assert!(screen(&model, 80, 24).contains("Loading..."));
        model.update(&[], &[]);
        assert!(screen(&model, 80, 24).contains("No process available"));
        model.trouble = Some("the supervisor is gone".to_owned());
        assert!(screen(&model, 80, 24).contains("the supervisor is gone"));
        for (width, height) in [(1, 1), (5, 3), (20, 2), (3, 40)] {
            screen(&shop(), width, height);
        }
    }
}
