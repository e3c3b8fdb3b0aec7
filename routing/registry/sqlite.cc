#include "routing/registry/sqlite.h"

#include "core/assert.h"

namespace weir::routing::sqlite {

Connection::~Connection() {
  // Statements are gone: whoever holds both declares the connection first.
  const int closed = sqlite3_close(handle_);
  WEIR_ASSERT(closed != SQLITE_BUSY);
}

bool Connection::open(const std::string& uri, int flags, const std::string& vfs) {
  const int opened = sqlite3_open_v2(uri.c_str(), &handle_, flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
                                     vfs.empty() ? nullptr : vfs.c_str());
  if (opened != SQLITE_OK) return fail();
  sqlite3_extended_result_codes(handle_, 1);
  return true;
}

bool Connection::execute(const char* sql) {
  return sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) == SQLITE_OK || fail();
}

std::optional<int64_t> Connection::integer(const char* sql) {
  Statement statement(*this, sql);
  Rows rows = statement.with();
  if (!rows.next()) return std::nullopt;
  return rows.integer(0);
}

std::optional<std::string> Connection::text(const char* sql) {
  Statement statement(*this, sql);
  Rows rows = statement.with();
  if (!rows.next()) return std::nullopt;
  return std::string(rows.text(0));
}

bool Connection::fail() {
  failure_ = {.code = handle_ == nullptr ? SQLITE_NOMEM : sqlite3_extended_errcode(handle_),
              .system_error = handle_ == nullptr ? 0 : sqlite3_system_errno(handle_),
              .message = handle_ == nullptr ? "out of memory" : sqlite3_errmsg(handle_)};
  return false;
}

Rows::Rows(Connection& connection, sqlite3_stmt* statement)
    : connection_(connection), statement_(statement), failed_(statement == nullptr) {}

Rows::~Rows() {
  if (statement_ != nullptr) sqlite3_reset(statement_);
}

bool Rows::next() {
  if (failed_) return false;
  const int result = sqlite3_step(statement_);
  if (result == SQLITE_ROW) return true;
  if (result != SQLITE_DONE) failed_ = !connection_.fail();
  return false;
}

bool Rows::run() {
  while (next()) {
  }
  return !failed_;
}

std::string_view Rows::text(int column) const {
  // The pointer first: asking for it may convert, which changes the length.
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return {static_cast<const char*>(bytes), static_cast<size_t>(size)};
}

bool Statement::prepare() {
  if (statement_ != nullptr) return true;
  return sqlite3_prepare_v3(connection_.handle(), sql_, -1, SQLITE_PREPARE_PERSISTENT, &statement_,
                            nullptr) == SQLITE_OK ||
         connection_.fail();
}

// Never null for an empty text: that would bind NULL.
bool Statement::bind(int at, std::string_view text) {
  return bound(sqlite3_bind_text64(statement_, at, text.data() == nullptr ? "" : text.data(), text.size(),
                                   SQLITE_STATIC, SQLITE_UTF8));
}

bool Statement::bind(int at, Blob blob) {
  return bound(sqlite3_bind_blob64(statement_, at, blob.bytes.data() == nullptr ? "" : blob.bytes.data(),
                                   blob.bytes.size(), SQLITE_STATIC));
}

Transaction::Transaction(Connection& connection, Kind kind) : connection_(connection) {
  nested_ = connection.in_transaction();
  WEIR_ASSERT(!nested_ || kind == Kind::read);
  begun_ = nested_ || connection.execute(kind == Kind::read ? "BEGIN" : "BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  if (!begun_ || nested_ || !connection_.in_transaction()) return;
  // Not execute(): failure() goes on to say why there is something to roll back.
  sqlite3_exec(connection_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

bool Transaction::commit() {
  return nested_ || connection_.execute("COMMIT");
}

}  // namespace weir::routing::sqlite
