// The icons of the dashboard: one stroke, 24 units wide, drawn in the colour of the text around them.
import type { JSX } from "react";

const PATHS = {
  fleet: "M4 5h7v6H4zM13 5h7v6h-7zM4 13h7v6H4zM13 13h7v6h-7z",
  node: "M4 4.5h16v6H4zM4 13.5h16v6H4zM7.5 7.5h.01M7.5 16.5h.01M11 7.5h5M11 16.5h5",
  application: "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4.3 7.6L12 12l7.7-4.4M12 12v8.8",
  rollout: "M4 17l5-5 3.5 3.5L20 8M14.5 8H20v5.5",
  event: "M4 6h16M4 12h10M4 18h13",
  configuration: "M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h4",
  secret: "M14.5 4a5.5 5.5 0 1 1-5 7.8L3 18.5V21h3l.5-2H9v-2h2l1.6-1.7A5.5 5.5 0 0 1 14.5 4zM16 8h.01",
  settings: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.8v4.4M9 14.8v4.4",
  search: "M10.5 4a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM15.5 15.5L20.5 20.5",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  check: "M4.5 12.5l5 5 10-11",
  close: "M6 6l12 12M18 6L6 18",
  menu: "M4 6.5h16M4 12h16M4 17.5h16",
  chevron: "M9 5l7 7-7 7",
  down: "M5 9l7 7 7-7",
  up: "M5 15l7-7 7 7",
  sort: "M8 10l4-4 4 4M8 14l4 4 4-4",
  sun: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
  system: "M4 5h16v11H4zM9 20h6M12 16v4",
  refresh: "M19.5 12a7.5 7.5 0 1 1-2.2-5.3L20 9.3M20 4.5v4.8h-4.8",
  back: "M9 14L4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3",
  play: "M7 4.5l12 7.5-12 7.5z",
  pause: "M8 5v14M16 5v14",
  plus: "M12 5v14M5 12h14",
  trash: "M4 7h16M9 7V4h6v3M6.5 7l1 13h9l1-13M10.5 11v5M13.5 11v5",
  help: "M9 9a3 3 0 1 1 4.2 2.8c-.8.4-1.2 1-1.2 2M12 17.5h.01M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18z",
  exit: "M14 4H5v16h9M10 12h10M16.5 8.5L20 12l-3.5 3.5",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  broken: "M4 4l16 16M8.5 8.6a7 7 0 0 0-2 1.6M12 6.8c2.8 0 5.3 1.1 7.2 3M9.4 13.2a4 4 0 0 1 3.4-1M12 17.5h.01",
  power: "M12 3v8M7.2 6.2a7.5 7.5 0 1 0 9.6 0",
  logs: "M4 5h16v14H4zM7.5 9.5l2.5 2.5-2.5 2.5M12.5 15h4",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }): JSX.Element {
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth={1.75} strokeLinecap="round" strokeLinejoin="round" aria-hidden="true" style={{ flex: "none" }}>
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Logo({ size = 24 }: { size?: number }): JSX.Element {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" style={{ flex: "none" }}>
      <rect width="32" height="32" rx="7.5" fill="#3553c4" />
      <g fill="#fff">
        <circle cx="9" cy="10" r="2.6" />
        <circle cx="16" cy="10" r="2.6" />
        <circle cx="23" cy="10" r="2.6" />
        <g opacity=".72">
          <circle cx="9" cy="16.6" r="2.6" />
          <circle cx="16" cy="16.6" r="2.6" />
          <circle cx="23" cy="16.6" r="2.6" />
        </g>
        <rect x="6.4" y="21.9" width="19.2" height="3" rx="1.5" />
      </g>
    </svg>
  );
}
