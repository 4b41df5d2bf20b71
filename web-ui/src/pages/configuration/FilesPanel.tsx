import { Select } from "@mantine/core";
import type { JSX } from "react";
import type { FleetFile } from "../../api/types";
import { CodeView } from "../../components/Code";
import { CopyButton } from "../../components/Command";
import { Panel } from "../../components/Panel";
import { useSearchState } from "../../hooks/useSearchState";
import { plural } from "../../util/format";

export function FilesPanel({ files }: { files: readonly FleetFile[] }): JSX.Element {
  const [{ file }, set] = useSearchState();
  const shown = files.find((each) => each.path === file) ?? files[0];
  if (shown === undefined) return <Panel title="Files" padded>This version has no files.</Panel>;
  return (
    <Panel
      title={<span className="mono">{shown.path}</span>}
      note={plural(shown.content.split("\n").length - 1, "line")}
      actions={
        <>
          {files.length > 1 && <Select size="xs" w={230} searchable aria-label="File" data={files.map((each) => each.path)} value={shown.path} onChange={(value) => set({ file: value ?? undefined })} />}
          <CopyButton text={shown.content} label="Copy the file" />
        </>
      }
    >
      <CodeView path={shown.path} content={shown.content} />
    </Panel>
  );
}
