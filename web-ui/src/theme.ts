import { Button, Modal, PasswordInput, Select, TextInput, Textarea, Tooltip, createTheme, type CSSVariablesResolver, type MantineColorSchemeManager, type MantineColorsTuple } from "@mantine/core";

// The one accent. Everything else is neutral, or a status.
const accent: MantineColorsTuple = ["#eef1fd", "#dce3fa", "#b7c5f4", "#91a6ee", "#728ce8", "#5b78e2", "#4a68dc", "#3b58cc", "#3049b2", "#243a93"];
const ink: MantineColorsTuple = ["#e7e9ec", "#c6cad0", "#a9aeb6", "#8d939c", "#5b626c", "#343a42", "#262b31", "#16191d", "#111417", "#0b0d0f"];

export const theme = createTheme({
  primaryColor: "accent",
  colors: { accent, dark: ink },
  primaryShade: { light: 7, dark: 7 },
  fontFamily: "var(--font-text)",
  fontFamilyMonospace: "var(--font-mono)",
  fontSizes: { xs: "12px", sm: "13px", md: "14px", lg: "16px", xl: "20px" },
  defaultRadius: "6px",
  cursorType: "pointer",
  focusRing: "auto",
  respectReducedMotion: true,
  components: {
    Button: Button.extend({
      defaultProps: { size: "xs" },
      styles: { label: { fontWeight: 550 } },
      // The smallest is 22px high otherwise, which is too small to be hit (WCAG 2.5.8).
      vars: (_, { size }) => ({ root: size === "compact-xs" ? { "--button-height": "24px" } : {} }),
    }),
    TextInput: TextInput.extend({ defaultProps: { size: "sm" } }),
    PasswordInput: PasswordInput.extend({ defaultProps: { size: "sm" } }),
    Textarea: Textarea.extend({ defaultProps: { size: "sm" } }),
    Select: Select.extend({ defaultProps: { size: "sm", allowDeselect: false, checkIconPosition: "right" } }),
    Tooltip: Tooltip.extend({ defaultProps: { openDelay: 250, withArrow: true, multiline: true, maw: 320, events: { hover: true, focus: true, touch: true } } }),
    Modal: Modal.extend({ defaultProps: { centered: true, radius: "10px", overlayProps: { backgroundOpacity: 0.45 }, transitionProps: { duration: 120 } } }),
  },
});

// Mantine's own variables follow ours (styles/global.css), so that its controls and our panels are one thing.
export const cssVariables: CSSVariablesResolver = () => {
  const shared = {
    "--mantine-color-body": "var(--panel)",
    "--mantine-color-text": "var(--text)",
    "--mantine-color-dimmed": "var(--text-2)",
    "--mantine-color-placeholder": "var(--text-3)",
    "--mantine-color-default": "var(--panel)",
    "--mantine-color-default-hover": "var(--hover)",
    "--mantine-color-default-color": "var(--text)",
    "--mantine-color-default-border": "var(--line-strong)",
    "--mantine-color-error": "var(--error)",
    "--mantine-color-anchor": "var(--accent)",
  };
  return { variables: {}, light: shared, dark: shared };
};

const KEY = "muster-colour-scheme";
type Scheme = "light" | "dark" | "auto";

function stored(): Scheme | null {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" || value === "auto" ? value : null;
  } catch {
    return null;
  }
}

/** Same key as public/colour-scheme.js, which sets the first paint. */
export function colourScheme(): MantineColorSchemeManager {
  return {
    get: (fallback) => stored() ?? fallback,
    set: (value) => {
      try {
        localStorage.setItem(KEY, value);
      } catch {
        // Storage may be forbidden; the choice then lasts as long as the page.
      }
    },
    subscribe: () => {},
    unsubscribe: () => {},
    clear: () => {},
  };
}
