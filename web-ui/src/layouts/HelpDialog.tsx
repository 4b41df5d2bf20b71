import { Modal } from "@mantine/core";
import { Fragment, type JSX } from "react";
import { Command } from "../components/Command";
import { MAIN, SETUP } from "./nav";
import classes from "./Palette.module.css";

export function HelpDialog({ close }: { close: () => void }): JSX.Element {
  const keys: [string[], string][] = [
    [["/"], "Search"],
    ...[...MAIN, ...SETUP].map((page): [string[], string] => [["g", page.key], page.label]),
    [["?"], "This help"],
    [["Esc"], "Close a dialog"],
  ];
  return (
    <Modal opened onClose={close} title={<strong>Keyboard and help</strong>} closeButtonProps={{ "aria-label": "Close" }}>
      <div className={classes.keys}>
        {keys.map(([pressed, what]) => (
          <Fragment key={what}>
            <span className="row" style={{ gap: 4 }}>
              {pressed.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </span>
            <span>{what}</span>
          </Fragment>
        ))}
      </div>
      <p className="soft" style={{ margin: "18px 0 8px" }}>
        All of this can be done from a terminal too:
      </p>
      <Command text="muster help" />
    </Modal>
  );
}
