// From a table's document to the body that shards read: checks everything, then builds everything. A table
// with any problem yields no body at all (DESIGN section 4).
//
//   root -> providers -> models -> attributes -> prompts -> units -> segments -> scenarios -> flags
//        -> tenants -> keys -> units with their derived ones, hashes, indices
//
// Each kind refers only to earlier ones, so one pass in this order finds every unknown name. Building starts
// when there is no problem left.
// Control thread only.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "routing/table/document.h"
#include "routing/table/problem.h"
#include "routing/table/table.h"

namespace weir::routing {

// Where a provider's credential stands. The table holds references only.
struct SecretReference {
  enum class Kind : uint8_t { environment, file };
  Kind kind;
  std::string name;  // of the variable, or the file's absolute path
};

struct CompileOptions {
  // The credential, or a sentence why it cannot be had (it must not hold the credential). Blanks at its end
  // are cut off. None: credentials are not read, and providers have no authorization; for checks away from a
  // node.
  std::function<std::expected<std::string, std::string>(const SecretReference&)> resolve_secret;
  bool keep_source = true;  // TableBody::source_json
};

struct CompiledTable {
  std::unique_ptr<TableBody> body;
  std::unique_ptr<TenantTable> tenants;  // of the same basis
};

// All problems, in the document's order within a kind; at most limits::kMaxTableProblems and a count.
using CompileResult = std::expected<CompiledTable, std::vector<Problem>>;

CompileResult compile(Document document, const CompileOptions& options);

// The same from text: Document::parse, then compile.
CompileResult compile_text(std::string text, TableFormat format, const CompileOptions& options);

}  // namespace weir::routing
